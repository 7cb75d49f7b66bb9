package com.berthdata.berth.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class EventsTest {
  private final Events events = new Events();

  private List<Long> accept(long epoch, long... seqs) {
    ArrayNode a = JsonNodeFactory.instance.arrayNode();
    for (long s : seqs) {
      a.addObject().put("seq", s);
    }
    List<Long> out = new ArrayList<>();
    for (JsonNode e : events.accept(epoch, a)) {
      out.add(e.path("seq").asLong());
    }
    return out;
  }

  private void at(long epoch, long after) {
    assertEquals(epoch, events.epoch(), "epoch");
    assertEquals(after, events.after(), "after");
  }

  @Test
  void eachEventOnceAndInOrder() {
    at(Events.RESTATE, 0);
    assertEquals(Arrays.asList(1L, 2L), accept(7, 2, 1));
    at(7, 2);
    assertEquals(Collections.singletonList(3L), accept(7, 1, 2, 3, 3));
    at(7, 3);
    assertEquals(Collections.emptyList(), accept(7));
    at(7, 3);
  }

  @Test
  void anotherEpochIsAnotherNumbering() {
    accept(7, 1, 2, 3);
    assertEquals(Arrays.asList(1L, 2L), accept(8, 1, 2));
    at(8, 2);
    assertEquals(Collections.singletonList(1L), accept(5, 1), "also a lower one");
    at(5, 1);
  }

  @Test
  void anEventThatIsMissingHasEverythingRestated() {
    accept(7, 1);
    assertEquals(Arrays.asList(3L, 4L), accept(7, 3, 4), "what came is handled");
    at(Events.RESTATE, 0);
    assertEquals(Arrays.asList(2L, 9L), accept(7, 2, 9), "numbers of a restatement may have gaps");
    at(7, 9);
    assertEquals(Collections.singletonList(10L), accept(7, 10));
    at(7, 10);
  }

  @Test
  void whatHasNoNumberIsNoEvent() {
    assertEquals(Collections.emptyList(), accept(7, 0, -1));
    at(7, 0);
  }
}
