package com.berthdata.berth.spark;

import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.apache.spark.SparkConf;
import org.apache.spark.scheduler.cluster.SchedulerBackendUtils;

/** The configuration of this driver, read once, and the defaults that Berth sets in it. */
final class DriverSettings implements Sizes.Settings {
  private static final long MIN_OVERHEAD_MIB = 384;
  private static final int DEFAULT_EXECUTORS = 2;

  final boolean dynamicAllocation;
  /** Spark itself, or its streaming part, lets idle executors go. */
  final boolean sparkScales;
  /** Executors that are asked for at the start. */
  final int initial;
  final long lossReasonWaitMs;
  final long registerTimeoutMs;
  final long stopGraceMs;
  final long syncWaitMs;

  private final int cores;
  private final long memory;
  private final long overhead;
  private final double overheadFactor;
  private final long minOverhead;
  private final long offHeap;
  private final long pyspark;

  DriverSettings(SparkConf conf) {
    dynamicAllocation = conf.getBoolean("spark.dynamicAllocation.enabled", false);
    sparkScales = dynamicAllocation || conf.getBoolean("spark.streaming.dynamicAllocation.enabled", false);
    cores = conf.getInt("spark.executor.cores", 1);
    initial = initial(conf, cores);
    memory = conf.getSizeAsMb("spark.executor.memory", "1g");
    overhead = conf.contains("spark.executor.memoryOverhead") ? conf.getSizeAsMb("spark.executor.memoryOverhead") : -1;
    overheadFactor = conf.getDouble("spark.executor.memoryOverheadFactor", 0.10);
    minOverhead = conf.getSizeAsMb("spark.executor.minMemoryOverhead", MIN_OVERHEAD_MIB + "m");
    // Rounded up: the task must hold it.
    offHeap = conf.getBoolean("spark.memory.offHeap.enabled", false)
        ? (conf.getSizeAsBytes("spark.memory.offHeap.size", "0b") + (1 << 20) - 1) >> 20 : 0;
    pyspark = conf.getSizeAsMb("spark.executor.pyspark.memory", "0m");
    lossReasonWaitMs = conf.getTimeAsMs("spark.berth.lossReasonWait", "5s");
    registerTimeoutMs = conf.getTimeAsMs("spark.berth.registerTimeout", "15min");
    stopGraceMs = conf.getTimeAsMs("spark.berth.stopGrace", "60s");
    syncWaitMs = conf.getTimeAsMs("spark.berth.syncWait", "15s");
  }

  private static int initial(SparkConf conf, int cores) {
    // Jobs for Mesos say how many cores they want in all.
    if (!conf.contains("spark.executor.instances") && conf.contains("spark.cores.max")) {
      return Math.max(1, conf.getInt("spark.cores.max", cores) / cores);
    }
    return SchedulerBackendUtils.getInitialTargetExecutorNumber(conf, DEFAULT_EXECUTORS);
  }

  /** What is deployed, as against what the program computes: the operator's newest word counts. */
  private static final List<String> DEPLOYED = Arrays.asList("spark.executor.memory", "spark.executor.memoryOverhead",
      "spark.executor.memoryOverheadFactor", "spark.executor.minMemoryOverhead", "spark.executor.pyspark.memory",
      "spark.executor.cores", "spark.executor.instances", "spark.cores.max", "spark.executor.extraClassPath",
      "spark.executor.extraLibraryPath");
  private static final List<String> DEPLOYED_GROUPS = Arrays.asList("spark.executorEnv.", "spark.mesos.", "spark.berth.",
      "spark.dynamicAllocation.", "spark.decommission.", "spark.executor.decommission.", "spark.storage.decommission.");

  /**
   * Makes conf fit for use under Berth, before anything of it is read. submitted is what spark-submit
   * has left in the system properties.
   *
   * <p>A DStream checkpoint brings back the configuration of an older attempt. What an operator has
   * changed since then in how the application is deployed would be without effect.
   */
  static void prepare(SparkConf conf, Properties submitted) {
    if (conf.contains("spark.app.id")) { // Spark has set it in the older attempt; Berth does not submit it
      for (String name : submitted.stringPropertyNames()) {
        if (isDeployed(name)) {
          conf.set(name, submitted.getProperty(name));
        }
      }
    }
    // Spark puts its module flags before what is there, again in each attempt.
    for (String name : Arrays.asList("spark.executor.extraJavaOptions", "spark.driver.extraJavaOptions")) {
      if (conf.contains(name)) {
        conf.set(name, CommandLine.join(CommandLine.withoutRepetitions(CommandLine.split(conf.get(name)))));
      }
    }
    defaults(conf);
  }

  private static boolean isDeployed(String name) {
    boolean deployed = DEPLOYED.contains(name);
    for (String group : DEPLOYED_GROUPS) {
      deployed |= name.startsWith(group);
    }
    return deployed;
  }

  /**
   * Without the first, executors ignore that they are to go. A decommissioned executor that runs a
   * receiver never ends by itself, nor one whose blocks nobody can take.
   */
  private static void defaults(SparkConf conf) {
    conf.setIfMissing("spark.decommission.enabled", "true");
    conf.setIfMissing("spark.storage.decommission.enabled", "true");
    conf.setIfMissing("spark.executor.decommission.forceKillTimeout", "300s");
  }

  /** Spark's own limits become the operator's; before the part of Spark that reads them is made. */
  static void limit(SparkConf conf, Bounds bounds) {
    int initial = conf.getInt("spark.dynamicAllocation.initialExecutors", bounds.min);
    conf.set("spark.dynamicAllocation.minExecutors", String.valueOf(bounds.min));
    conf.set("spark.dynamicAllocation.maxExecutors", String.valueOf(bounds.max));
    conf.set("spark.dynamicAllocation.initialExecutors", String.valueOf(bounds.clamp(initial)));
  }

  @Override
  public int cores() {
    return cores;
  }

  @Override
  public long memory() {
    return memory;
  }

  @Override
  public long overhead() {
    return overhead;
  }

  @Override
  public double overheadFactor() {
    return overheadFactor;
  }

  @Override
  public long minOverhead() {
    return minOverhead;
  }

  @Override
  public long offHeap() {
    return offHeap;
  }

  @Override
  public long pyspark() {
    return pyspark;
  }
}
