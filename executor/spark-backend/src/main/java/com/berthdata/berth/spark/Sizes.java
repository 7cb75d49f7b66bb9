package com.berthdata.berth.spark;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;

/**
 * How large an executor of a resource profile is: what the profile asks for, else what the
 * configuration says, else Spark's defaults. Spark has this too, in a form that differs by version.
 */
final class Sizes {
  static final int DEFAULT_PROFILE = 0;
  private static final Set<String> OWN =
      new HashSet<>(Arrays.asList("cores", "memory", "memoryOverhead", "offHeap", "pyspark.memory"));

  /** The configuration as this class asks for it; memory in MiB, 0 or less where it is not set. */
  interface Settings {
    int cores();

    long memory();

    /** spark.executor.memoryOverhead; negative where not set. */
    long overhead();

    double overheadFactor();

    /** spark.executor.minMemoryOverhead of 4.x, or the constant of 3.5. */
    long minOverhead();

    /** 0 where off-heap memory is not enabled. */
    long offHeap();

    long pyspark();
  }

  private Sizes() {}

  /**
   * requested are the profile's requests by resource name. Of the default profile they are what the
   * configuration said when Spark made it; see {@link DriverSettings#prepare}.
   */
  static Target.Profile profile(int id, int total, Map<String, Long> requested, Settings conf) {
    Map<String, Long> amounts = new HashMap<>(requested);
    if (id == DEFAULT_PROFILE) {
      amounts.keySet().removeAll(OWN);
    }
    long memory = amounts.getOrDefault("memory", conf.memory());
    long overhead = conf.overhead() >= 0 ? conf.overhead() : Math.max((long) (memory * conf.overheadFactor()), conf.minOverhead());
    Map<String, Long> others = new HashMap<>();
    for (Map.Entry<String, Long> a : amounts.entrySet()) {
      if (!OWN.contains(a.getKey()) && a.getValue() > 0) {
        others.put(a.getKey(), a.getValue());
      }
    }
    return new Target.Profile(id, total, amounts.getOrDefault("cores", (long) conf.cores()).intValue(), memory,
        amounts.getOrDefault("memoryOverhead", overhead), amounts.getOrDefault("offHeap", conf.offHeap()),
        amounts.getOrDefault("pyspark.memory", conf.pyspark()), others);
  }
}
