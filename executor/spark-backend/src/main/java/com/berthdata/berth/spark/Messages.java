package com.berthdata.berth.spark;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Collection;
import java.util.Map;

/** The documents that this side sends, see docs/spark-protocol.md. */
final class Messages {
  static final int PROTOCOL = 1;
  /** Entries of any list of executors or hosts. */
  static final int MAX_LIST = 10_000;
  /** Of a target: dynamic allocation without a limit of its own asks for as many as there are tasks. */
  private static final int MAX_TOTAL = 10_000;

  private final int attemptId;

  Messages(int attemptId) {
    this.attemptId = attemptId;
  }

  /** What each request begins with. */
  ObjectNode request() {
    ObjectNode n = JsonNodeFactory.instance.objectNode();
    n.put("protocol", PROTOCOL);
    n.put("attemptId", attemptId);
    return n;
  }

  ObjectNode target(Target t) {
    ObjectNode n = request();
    n.put("generation", t.generation);
    ArrayNode profiles = n.putArray("profiles");
    for (Target.Profile p : t.profiles) {
      ObjectNode o = profiles.addObject();
      o.put("id", p.id);
      o.put("total", Math.min(MAX_TOTAL, p.total));
      o.put("cores", p.cores);
      o.put("memoryMiB", p.memory);
      o.put("memoryOverheadMiB", p.memoryOverhead);
      o.put("offHeapMiB", p.offHeap);
      o.put("pysparkMiB", p.pyspark);
      ObjectNode resources = o.putObject("resources");
      for (Map.Entry<String, Long> r : p.resources.entrySet()) {
        resources.put(r.getKey(), r.getValue());
      }
    }
    list(n, "excludedNodes", t.excludedNodes);
    n.put("dynamicAllocation", t.dynamicAllocation);
    return n;
  }

  ObjectNode kill(Collection<String> ids) {
    ObjectNode n = request();
    list(n, "executorIds", ids);
    return n;
  }

  ObjectNode unregister(boolean failed, String message) {
    ObjectNode n = request();
    n.put("state", failed ? "FAILED" : "FINISHED");
    n.put("message", cut(message, 1_024));
    return n;
  }

  static void list(ObjectNode into, String name, Collection<String> values) {
    ArrayNode a = into.putArray(name);
    for (String v : values) {
      if (a.size() == MAX_LIST) {
        return;
      }
      a.add(v);
    }
  }

  static String cut(String text, int max) {
    return text.length() <= max ? text : text.substring(0, max);
  }
}
