package com.berthdata.berth.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SmallPartsTest {
  @Test
  void backoffDoublesUpToItsLimitWithJitterInTheUpperHalf() {
    double[] random = {0};
    Backoff low = new Backoff(250, 10_000, () -> random[0]);
    Backoff high = new Backoff(250, 10_000, () -> 0.999999);
    long[] whole = {250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000};
    for (long w : whole) {
      assertEquals(w / 2, low.next());
      assertTrue(Math.abs(w - high.next()) <= 1);
    }
    for (int i = 0; i < 100; i++) {
      assertEquals(5_000, low.next(), "no overflow after many failures");
    }
    low.reset();
    assertEquals(0, low.failures());
    assertEquals(125, low.next());
  }

  @Test
  void masterUrls() {
    assertTrue(MasterUrl.isOurs("spark-berth://a:1"));
    assertTrue(MasterUrl.isOurs("spark-berths://a:1"));
    assertFalse(MasterUrl.isOurs("spark://a:1"));
    assertFalse(MasterUrl.isOurs("berth://a:1"));
    assertEquals(Arrays.asList("http://a:1", "http://b:2"), MasterUrl.addresses("spark-berth://a:1, b:2"));
    assertEquals(Collections.singletonList("https://a:1"), MasterUrl.addresses("spark-berths://a:1"));
    assertEquals(Collections.emptyList(), MasterUrl.addresses("spark-berth://"));
  }

  @Test
  void optionsAreSplitAsAShellDoes() {
    assertEquals(Arrays.asList("-Da=b", "-Dc=d e", "-Df=g h", "-Di=\"j\"", "-Dk=l m", ""),
        CommandLine.split("  -Da=b -Dc='d e'\t\"-Df=g h\" -Di=\\\"j\\\" -Dk=l\\ m ''"));
    assertEquals(Collections.emptyList(), CommandLine.split("   "));
    assertEquals(Collections.singletonList("a\\b"), CommandLine.split("'a\\b'"), "nothing is special in single quotes");
  }

  @Test
  void optionsThatAreJoinedSplitIntoTheSame() {
    List<String> words = Arrays.asList("-Da=b", "", "a b", "it's", "say \"hi\"", "c:\\x y", "\\", "tab\there");
    assertEquals(words, CommandLine.split(CommandLine.join(words)));
  }

  @Test
  void ofRepeatedOptionsTheLastOneStays() {
    assertEquals(Arrays.asList("--add-opens=x", "-Da=2", "-Da=1"),
        CommandLine.withoutRepetitions(Arrays.asList("--add-opens=x", "-Da=1", "--add-opens=x", "-Da=2", "-Da=1")));
  }

  @Test
  void boundsHoldTheWishAndSayHowManyMayStay() {
    Bounds b = new Bounds(3, 2, 5);
    assertEquals(2, b.clamp(0));
    assertEquals(4, b.clamp(4));
    assertEquals(5, b.clamp(9));
    assertEquals(4, b.limit(4, false));
    assertEquals(5, b.limit(4, true), "dynamic allocation lets idle ones go by itself");
    assertEquals(Integer.MAX_VALUE, Bounds.NONE.limit(4, false));
    assertEquals(7, Bounds.NONE.clamp(7));
  }

  @Test
  void idleAndYoungExecutorsGoFirst() {
    List<Surplus.Executor> active = Arrays.asList(new Surplus.Executor("2", true), new Surplus.Executor("10", true),
        new Surplus.Executor("3", false), new Surplus.Executor("9", false));
    assertEquals(Collections.emptyList(), Surplus.above(4, active));
    assertEquals(Collections.emptyList(), Surplus.above(Integer.MAX_VALUE, active));
    assertEquals(Collections.singletonList("9"), Surplus.above(3, active));
    assertEquals(Arrays.asList("9", "3", "10"), Surplus.above(1, active));
    assertEquals(4, Surplus.above(0, active).size());
  }

  /** Spark's defaults with 10 GiB of heap. */
  private static class Conf implements Sizes.Settings {
    long overhead = -1;
    long offHeap;
    long pyspark;

    @Override
    public int cores() {
      return 2;
    }

    @Override
    public long memory() {
      return 10_240;
    }

    @Override
    public long overhead() {
      return overhead;
    }

    @Override
    public double overheadFactor() {
      return 0.1;
    }

    @Override
    public long minOverhead() {
      return 384;
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

  @Test
  void sizesOfAProfileComeFromItOrFromTheConfiguration() {
    Conf conf = new Conf();
    Target.Profile p = Sizes.profile(0, 3, Collections.emptyMap(), conf);
    assertEquals(3, p.total);
    assertEquals(2, p.cores);
    assertEquals(10_240, p.memory);
    assertEquals(1_024, p.memoryOverhead);

    Map<String, Long> amounts = new HashMap<>();
    amounts.put("memory", 1_000L);
    amounts.put("cores", 4L);
    amounts.put("gpu", 1L);
    conf.offHeap = 64;
    conf.pyspark = 32;
    p = Sizes.profile(0, 1, amounts, conf);
    assertEquals(10_240, p.memory, "the default profile is what the configuration says now");
    assertEquals(Collections.singletonMap("gpu", 1L), p.resources);
    p = Sizes.profile(7, 1, amounts, conf);
    assertEquals(7, p.id);
    assertEquals(4, p.cores);
    assertEquals(384, p.memoryOverhead, "the minimum");
    assertEquals(64, p.offHeap);
    assertEquals(32, p.pyspark);
    assertEquals(Collections.singletonMap("gpu", 1L), p.resources);

    conf.overhead = 0;
    assertEquals(0, Sizes.profile(7, 1, amounts, conf).memoryOverhead, "set to nothing is not unset");
    amounts.put("memoryOverhead", 500L);
    amounts.put("offHeap", 1L);
    amounts.put("pyspark.memory", 2L);
    p = Sizes.profile(7, 1, amounts, conf);
    assertEquals(500, p.memoryOverhead);
    assertEquals(1, p.offHeap);
    assertEquals(2, p.pyspark);
  }

  @Test
  void aWishWithoutBoundsIsStatedWithinThoseOfTheProtocol() {
    Target.Profile p = Sizes.profile(0, Integer.MAX_VALUE, Collections.emptyMap(), new Conf());
    Target t = new Target(1, Arrays.asList(p, Sizes.profile(1, 3, Collections.emptyMap(), new Conf())), Collections.emptyList(), true);
    assertEquals(10_000, new Messages(1).target(t).path("profiles").path(0).path("total").asInt());
    assertEquals(Integer.MAX_VALUE, t.total(), "no overflow");
  }

  @Test
  void ordersAreCarriedOutOnceAndForgottenAtTheEnd() {
    Orders o = new Orders();
    o.kill(Arrays.asList("1", "2"));
    assertEquals(Arrays.asList("1", "2"), o.unsentKills());
    o.killsSent(Arrays.asList("1", "2"));
    assertEquals(Collections.emptyList(), o.unsentKills());
    assertEquals(Arrays.asList("1", "2"), o.killing(), "restated until their end is told");
    assertTrue(o.ended("1"));
    assertFalse(o.ended("1"), "told once");
    o.kill(Collections.singletonList("1"));
    assertEquals(Collections.singletonList("2"), o.killing(), "no order about one that has ended");
    o.forgotten(Collections.singletonList("5"));
    assertEquals(Collections.emptyList(), o.killing());

    o.decommission(new Orders.Decommission("3", true, "m"));
    o.decommission(new Orders.Decommission("1", true, "m"));
    assertEquals(1, o.undone().size());
    o.done("3");
    o.decommission(new Orders.Decommission("3", true, "m"));
    assertEquals(0, o.undone().size());
    o.decommission(new Orders.Decommission("4", true, "m"));
    o.ended("4");
    assertEquals(0, o.undone().size());
  }

  @Test
  void ordersAreBounded() {
    Orders o = new Orders();
    for (int i = 0; i < 3 * Messages.MAX_LIST; i++) {
      o.kill(Collections.singletonList(String.valueOf(i)));
      o.decommission(new Orders.Decommission(String.valueOf(i), true, "m"));
    }
    assertEquals(Messages.MAX_LIST, o.killing().size());
    assertEquals(Messages.MAX_LIST, o.undone().size());
    assertEquals(String.valueOf(3 * Messages.MAX_LIST - 1), o.killing().get(Messages.MAX_LIST - 1));
  }
}
