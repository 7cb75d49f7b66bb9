package com.berthdata.berth.spark;

/** What the operator lets the application have: executors of all profiles together. */
final class Bounds {
  static final Bounds NONE = new Bounds(0, 0, Integer.MAX_VALUE);

  /** Rises with each change; 0: there are no bounds. */
  final long revision;
  final int min;
  final int max;

  Bounds(long revision, int min, int max) {
    this.revision = revision;
    this.min = min;
    this.max = max;
  }

  boolean inForce() {
    return revision > 0;
  }

  int clamp(int asked) {
    return Math.max(min, Math.min(max, asked));
  }

  /**
   * How many executors may stay: with dynamic allocation max, since Spark itself lets idle ones go;
   * else what Spark asks for within the bounds, since nobody else would take one away.
   */
  int limit(int asked, boolean dynamicAllocation) {
    if (!inForce()) {
      return Integer.MAX_VALUE;
    }
    return dynamicAllocation ? max : clamp(asked);
  }

  @Override
  public String toString() {
    return inForce() ? min + " to " + max : "none";
  }
}
