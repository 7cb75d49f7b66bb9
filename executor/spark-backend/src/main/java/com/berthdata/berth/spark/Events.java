package com.berthdata.berth.spark;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Where this driver is in Berth's numbering of events. Numbers rise by one within an epoch; another
 * epoch is another numbering, and begins with what is still true.
 */
final class Events {
  /** Asks for everything that is still true. */
  static final long RESTATE = 0;

  private long epoch = RESTATE;
  private long after;

  long epoch() {
    return epoch;
  }

  long after() {
    return after;
  }

  /**
   * Takes an answer to a sync and returns its new events in order: none that was returned before in
   * this epoch. When one is missing in between, the next sync asks for everything.
   */
  List<JsonNode> accept(long answeredEpoch, JsonNode events) {
    boolean asked = epoch == answeredEpoch;
    if (!asked) {
      epoch = answeredEpoch;
      after = 0;
    }
    List<JsonNode> sorted = new ArrayList<>();
    events.forEach(sorted::add);
    sorted.sort(Comparator.comparingLong(e -> e.path("seq").asLong(0)));
    List<JsonNode> fresh = new ArrayList<>();
    boolean gap = false;
    for (JsonNode e : sorted) {
      long seq = e.path("seq").asLong(0);
      if (seq <= after) {
        continue; // it was handled, or is no event at all
      }
      // The events of a restatement may have kept numbers from before, with gaps.
      gap |= asked && seq != after + 1;
      after = seq;
      fresh.add(e);
    }
    if (gap) {
      epoch = RESTATE;
      after = 0;
    }
    return fresh;
  }
}
