package com.berthdata.berth.spark;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What is under way with single executors: those that Spark wants gone, those that Berth wants gone,
 * and whose end has been told. All of it is bounded, at the cost of what is oldest. Thread-safe.
 */
final class Orders {
  /** A decommission that Berth has ordered. */
  static final class Decommission {
    final String id;
    final boolean replace;
    final String message;

    Decommission(String id, boolean replace, String message) {
      this.id = id;
      this.replace = replace;
      this.message = message;
    }
  }

  private static final int REMEMBERED = 2 * Messages.MAX_LIST;

  private final Set<String> killing = new LinkedHashSet<>();
  private final Set<String> unsentKills = new LinkedHashSet<>();
  private final Map<String, Decommission> undone = new LinkedHashMap<>();
  private final Set<String> decommissioned = new LinkedHashSet<>();
  private final Set<String> ended = new LinkedHashSet<>();

  /** Spark wants executors gone. */
  synchronized void kill(Collection<String> ids) {
    for (String id : ids) {
      if (!ended.contains(id)) {
        add(killing, id, Messages.MAX_LIST);
        add(unsentKills, id, Messages.MAX_LIST);
      }
    }
  }

  /** All that Spark wants gone and that have not ended, as far as is known. */
  synchronized List<String> killing() {
    return new ArrayList<>(killing);
  }

  synchronized List<String> unsentKills() {
    return new ArrayList<>(unsentKills);
  }

  synchronized void killsSent(Collection<String> ids) {
    unsentKills.removeAll(ids);
  }

  /** Berth has lost its records: of an executor that is not connected any more it will never tell. */
  synchronized void forgotten(Collection<String> connected) {
    killing.retainAll(connected);
    unsentKills.retainAll(connected);
  }

  /** The end of an executor is told; false when it was told before. */
  synchronized boolean ended(String id) {
    killing.remove(id);
    unsentKills.remove(id);
    undone.remove(id);
    return add(ended, id, REMEMBERED);
  }

  /** Berth wants an executor gone. */
  synchronized void decommission(Decommission d) {
    if (!ended.contains(d.id) && !decommissioned.contains(d.id) && undone.size() < Messages.MAX_LIST) {
      undone.put(d.id, d);
    }
  }

  /** Orders that are not carried out, also since the executor was not connected yet. */
  synchronized List<Decommission> undone() {
    return new ArrayList<>(undone.values());
  }

  synchronized void done(String id) {
    undone.remove(id);
    add(decommissioned, id, REMEMBERED);
  }

  private static boolean add(Set<String> set, String id, int max) {
    if (!set.add(id)) {
      return false;
    }
    if (set.size() > max) {
      set.remove(set.iterator().next());
    }
    return true;
  }
}
