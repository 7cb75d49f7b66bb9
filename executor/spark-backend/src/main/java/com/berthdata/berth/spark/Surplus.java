package com.berthdata.berth.spark;

import java.util.ArrayList;
import java.util.List;

/** Who goes when more executors are active than may be. */
final class Surplus {
  static final class Executor {
    final String id;
    final boolean busy;

    Executor(String id, boolean busy) {
      this.id = id;
      this.busy = busy;
    }

    private long number() {
      try {
        return Long.parseLong(id);
      } catch (NumberFormatException e) {
        return Long.MAX_VALUE; // none of Berth's
      }
    }
  }

  private Surplus() {}

  /** The ids above limit: idle ones first, then the youngest, which hold the fewest blocks. */
  static List<String> above(int limit, List<Executor> active) {
    List<Executor> sorted = new ArrayList<>(active);
    sorted.sort((a, b) -> a.busy != b.busy ? (a.busy ? 1 : -1) : Long.compare(b.number(), a.number()));
    List<String> out = new ArrayList<>();
    for (int i = 0; i < active.size() - limit; i++) {
      out.add(sorted.get(i).id);
    }
    return out;
  }
}
