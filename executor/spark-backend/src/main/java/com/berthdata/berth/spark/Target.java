package com.berthdata.berth.spark;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** How many executors of each resource profile Spark asks for: absolute, and immutable. */
final class Target {
  /** One resource profile's part; memory in MiB. */
  static final class Profile {
    final int id;
    final int total;
    final int cores;
    final long memory;
    final long memoryOverhead;
    final long offHeap;
    final long pyspark;
    /** Other resources by name, such as gpu. */
    final Map<String, Long> resources;

    Profile(int id, int total, int cores, long memory, long memoryOverhead, long offHeap, long pyspark,
        Map<String, Long> resources) {
      this.id = id;
      this.total = total;
      this.cores = cores;
      this.memory = memory;
      this.memoryOverhead = memoryOverhead;
      this.offHeap = offHeap;
      this.pyspark = pyspark;
      this.resources = Collections.unmodifiableMap(new TreeMap<>(resources));
    }
  }

  /** Rises with each change of one driver. */
  final long generation;
  final List<Profile> profiles;
  /** Hosts where Spark wants no executors at present. */
  final Collection<String> excludedNodes;
  final boolean dynamicAllocation;

  Target(long generation, List<Profile> profiles, Collection<String> excludedNodes, boolean dynamicAllocation) {
    this.generation = generation;
    List<Profile> sorted = new ArrayList<>(profiles);
    sorted.sort((a, b) -> Integer.compare(a.id, b.id));
    this.profiles = Collections.unmodifiableList(sorted);
    this.excludedNodes = Collections.unmodifiableCollection(new TreeSet<>(excludedNodes));
    this.dynamicAllocation = dynamicAllocation;
  }

  /** Executors of all profiles together. */
  int total() {
    long sum = 0;
    for (Profile p : profiles) {
      sum += p.total;
    }
    return (int) Math.min(Integer.MAX_VALUE, sum);
  }
}
