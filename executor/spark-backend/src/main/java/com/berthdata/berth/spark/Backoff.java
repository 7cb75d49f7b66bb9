package com.berthdata.berth.spark;

import java.util.function.DoubleSupplier;

/**
 * How long to wait after the n-th failure in a row: a random time between half and the whole of
 * min(longest, first · 2ⁿ⁻¹). Drivers that lost the same server do not come back all at once.
 */
final class Backoff {
  private final long firstMs;
  private final long longestMs;
  private final DoubleSupplier random;
  private int failures;

  /** random gives numbers from 0 up to 1. */
  Backoff(long firstMs, long longestMs, DoubleSupplier random) {
    this.firstMs = firstMs;
    this.longestMs = longestMs;
    this.random = random;
  }

  /** Counts a failure and says how many milliseconds to wait. */
  long next() {
    int doublings = Math.min(failures, 30);
    failures++;
    long whole = Math.min(longestMs, firstMs << doublings);
    return whole / 2 + (long) (random.getAsDouble() * (whole - whole / 2));
  }

  int failures() {
    return failures;
  }

  void reset() {
    failures = 0;
  }
}
