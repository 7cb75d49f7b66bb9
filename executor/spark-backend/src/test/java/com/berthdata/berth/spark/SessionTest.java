package com.berthdata.berth.spark;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SessionTest {
  private static final long SYNC_WAIT_MS = 200;

  private FakeBerth berth;
  private Api api;
  private Session session;
  private final FakeDriver driver = new FakeDriver();
  private final BlockingQueue<String> ends = new LinkedBlockingQueue<>();

  /** Spark's side, and what it was told. */
  private static final class FakeDriver implements Session.Driver {
    final BlockingQueue<String> told = new LinkedBlockingQueue<>();
    volatile Collection<String> connected = Collections.emptyList();
    volatile Collection<String> refusing = Collections.emptyList();

    @Override
    public void describe(ObjectNode n) {
      n.put("driverUrl", "spark://CoarseGrainedScheduler@h:1");
    }

    @Override
    public Collection<String> registeredExecutors() {
      return connected;
    }

    @Override
    public Collection<String> drainingExecutors() {
      return Collections.singletonList("8");
    }

    @Override
    public long maxExecutorId() {
      return 9;
    }

    @Override
    public void bounds(Bounds b) {
      told.add("bounds " + b);
    }

    @Override
    public void executorExited(String id, Integer exitCode, boolean causedByApp, String message) {
      told.add("exited " + id + " " + exitCode + " " + causedByApp + " " + message);
    }

    @Override
    public boolean decommission(String id, boolean replace, String message) {
      if (refusing.contains(id)) {
        told.add("refused " + id);
        return false;
      }
      told.add("decommission " + id + " " + replace + " " + message);
      return true;
    }

    @Override
    public void synced() {}

    String next() throws InterruptedException {
      String s = told.poll(30, TimeUnit.SECONDS);
      assertTrue(s != null, "the driver was told nothing");
      return s;
    }
  }

  @BeforeEach
  void setUp() throws Exception {
    berth = new FakeBerth();
    Map<String, String> env = new HashMap<>();
    env.put(Identity.APP_ID, "app-1");
    env.put(Identity.ATTEMPT_ID, "3");
    env.put(Identity.TOKEN, "tok");
    Identity identity = Identity.of(env, "spark-berth://" + berth.authority());
    api = new Api(identity.addresses, identity.token, Trust.of(""));
    session = new Session(api, identity, driver, new Session.Ending() {
      @Override
      public void superseded(String why) {
        ends.add("superseded");
      }

      @Override
      public void ended(String why) {
        ends.add("ended");
      }
    }, new AtomicLong(100), SYNC_WAIT_MS);
  }

  @AfterEach
  void tearDown() {
    session.stop(false, "", 1);
    api.close();
    berth.close();
  }

  private CompletableFuture<Void> starting(long timeoutMs) {
    return CompletableFuture.runAsync(() -> session.start(timeoutMs));
  }

  private void start() throws Exception {
    CompletableFuture<Void> f = starting(60_000);
    FakeBerth.Request r = berth.next();
    assertEquals("POST /v1/spark/apps", r.method + " " + r.path);
    r.ok("{'appId':'app-1','frameworkId':'fw','epoch':1,'targetGeneration':0}");
    f.get(30, TimeUnit.SECONDS);
  }

  private static List<Target.Profile> executors(int total) {
    return Collections.singletonList(new Target.Profile(0, total, 1, 1_024, 384, 0, 0, Collections.emptyMap()));
  }

  private void want(int total) {
    session.want(executors(total), Collections.emptyList(), false);
  }

  /** What a sync answers that knows the driver's target and has no events. */
  private static String quiet(FakeBerth.Request sync) {
    return events(sync, 1, "");
  }

  private static String events(FakeBerth.Request sync, long epoch, String events) {
    return "{'protocol':1,'epoch':" + epoch + ",'targetGeneration':" + sync.body.path("generation").asLong() + ",'events':[" + events + "]}";
  }

  private FakeBerth.Request sync() throws Exception {
    FakeBerth.Request r = berth.next();
    assertEquals("sync", r.call(), r.body.toString());
    return r;
  }

  private static String texts(JsonNode list) {
    List<String> out = new ArrayList<>();
    list.forEach(n -> out.add(n.asText()));
    return out.toString();
  }

  private static String failure(CompletableFuture<Void> f) {
    ExecutionException e = assertThrows(ExecutionException.class, () -> f.get(30, TimeUnit.SECONDS));
    return e.getCause().getMessage();
  }

  @Test
  void registersWithWhatItKnowsAndThenSyncs() throws Exception {
    CompletableFuture<Void> f = starting(60_000);
    FakeBerth.Request r = berth.next();
    assertEquals("POST", r.method);
    assertEquals(1, r.body.path("protocol").asInt());
    assertEquals(3, r.body.path("attemptId").asInt());
    assertEquals("app-1", r.body.path("appId").asText());
    assertEquals("spark://CoarseGrainedScheduler@h:1", r.body.path("driverUrl").asText());
    assertEquals(9, r.body.path("maxExecutorId").asInt());
    assertEquals("[8]", texts(r.body.path("draining")));
    assertTrue(r.body.path("target").isNull());
    r.ok("{'epoch':1,'bounds':{'revision':2,'min':1,'max':4}}");
    f.get();
    assertEquals("bounds 1 to 4", driver.next(), "before there is a target");
    r = sync();
    assertEquals("/v1/spark/apps/app-1/sync", r.path);
    assertEquals(0, r.body.path("epoch").asLong());
    assertEquals(2, r.body.path("boundsRevision").asLong());
    assertEquals(SYNC_WAIT_MS, r.body.path("waitMs").asLong());
  }

  @Test
  void waitsForABerthThatIsAway() throws Exception {
    CompletableFuture<Void> f = starting(60_000);
    berth.next().problem(503, "not.leader");
    berth.next().problem(500, "internal");
    berth.next().answer(404, "<html>");
    berth.next().problem(401, "auth.missing");
    assertFalse(f.isDone());
    berth.next().ok("{}");
    f.get();
  }

  @Test
  void givesUpAtTheStartAfterItsTime() throws Exception {
    CompletableFuture<Void> f = starting(-1); // over with the first answer
    berth.next().problem(503, "unavailable");
    assertTrue(failure(f).contains("could not be reached"), failure(f));
    f = starting(-1);
    berth.next().problem(401, "auth.missing");
    assertTrue(failure(f).contains("token"), failure(f));
  }

  @Test
  void aRefusalEndsTheStartWithItsReason() throws Exception {
    CompletableFuture<Void> f = starting(60_000);
    berth.next().problem(422, "spec.invalid");
    assertTrue(failure(f).contains("because of the test"), failure(f));
    assertNull(ends.poll());
  }

  @Test
  void fencedAtTheStart() throws Exception {
    CompletableFuture<Void> f = starting(60_000);
    berth.next().problem(409, "spark.superseded");
    failure(f);
    assertEquals("superseded", ends.poll(30, TimeUnit.SECONDS));
    f = starting(60_000);
    berth.next().problem(410, "spark.ended");
    failure(f);
    assertEquals("ended", ends.poll(30, TimeUnit.SECONDS));
  }

  @Test
  void fencedLater() throws Exception {
    start();
    FakeBerth.Request r = sync();
    r.answer(410, "gone, says a proxy"); // means nothing
    r = sync();
    assertNull(ends.poll());
    r.problem(410, "spark.ended");
    assertEquals("ended", ends.poll(30, TimeUnit.SECONDS));
    want(1);
    session.stop(false, "", 1_000);
    assertEquals(0, berth.waiting(), "nothing more is said");
  }

  @Test
  void fencedByTheAnswerToATarget() throws Exception {
    start();
    FakeBerth.Request held = sync();
    want(1);
    FakeBerth.Request r = berth.next();
    assertEquals("PUT /v1/spark/apps/app-1/target", r.method + " " + r.path);
    r.problem(409, "spark.superseded");
    assertEquals("superseded", ends.poll(30, TimeUnit.SECONDS));
    held.drop();
  }

  @Test
  void theTargetIsSentUntilBerthHasIt() throws Exception {
    start();
    FakeBerth.Request held = sync();
    session.want(executors(2), Arrays.asList("h2", "h1"), true);
    FakeBerth.Request r = berth.next();
    assertEquals(101, r.body.path("generation").asLong());
    assertEquals(3, r.body.path("attemptId").asInt());
    assertEquals(2, r.body.path("profiles").path(0).path("total").asInt());
    assertEquals("[h1, h2]", texts(r.body.path("excludedNodes")));
    assertTrue(r.body.path("dynamicAllocation").asBoolean());
    r.problem(503, "unavailable");
    want(3); // only the newest is of interest
    r = berth.next();
    if (r.body.path("generation").asLong() == 101) { // it was on its way
      r.problem(503, "unavailable");
      r = berth.next();
    }
    assertEquals(102, r.body.path("generation").asLong());
    r.ok("{'targetGeneration':102}");
    held.ok(quiet(held));
    held = sync();
    assertEquals(102, held.body.path("generation").asLong());
    held.ok("{'epoch':1,'events':[],'targetGeneration':101}"); // a leader that knows less
    List<String> calls = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      r = berth.next();
      calls.add(r.call());
      if (r.call().equals("target")) {
        assertEquals(102, r.body.path("generation").asLong());
        r.ok("{'targetGeneration':102}");
      }
    }
    assertTrue(calls.contains("target"), calls.toString());
  }

  @Test
  void aTargetThatIsRefusedIsNotRepeated() throws Exception {
    start();
    FakeBerth.Request held = sync();
    want(2);
    berth.next("target").problem(422, "spec.invalid");
    held.ok("{'epoch':1,'events':[],'targetGeneration':0}");
    held = sync();
    held.ok("{'epoch':1,'events':[],'targetGeneration':0}");
    held = sync();
    want(3);
    assertEquals(102, berth.next("target").body.path("generation").asLong());
    held.drop();
  }

  @Test
  void otherExcludedNodesAreANewTarget() throws Exception {
    start();
    sync();
    session.exclude(Collections.singletonList("h1")); // nothing to exclude from yet
    want(2);
    berth.next("target").ok("{'targetGeneration':101}");
    session.exclude(Collections.emptyList());
    assertEquals(101, session.target().generation);
    session.exclude(Collections.singletonList("h1"));
    FakeBerth.Request r = berth.next("target");
    assertEquals("[h1]", texts(r.body.path("excludedNodes")));
    assertEquals(2, r.body.path("profiles").path(0).path("total").asInt());
  }

  @Test
  void killsAreRestatedUntilTheirEndIsTold() throws Exception {
    driver.connected = Arrays.asList("4", "5");
    start();
    FakeBerth.Request held = sync();
    session.kill(Collections.singletonList("4"));
    FakeBerth.Request r = berth.next();
    assertEquals("POST /v1/spark/apps/app-1/kill", r.method + " " + r.path);
    assertEquals("[4]", texts(r.body.path("executorIds")));
    r.drop();
    r = berth.next(); // Java's client
    r.drop();
    r = berth.next();
    assertEquals("kill", r.call());
    r.ok("{}");
    held.ok(quiet(held));
    held = sync();
    assertEquals("[4]", texts(held.body.path("killing")));
    assertEquals("[4, 5]", texts(held.body.path("registeredExecutors")));
    held.ok(events(held, 1, "{'seq':1,'type':'EXECUTOR_EXITED','executorId':'4','exitCode':143,'causedByApp':false,'message':'killed'}"));
    assertEquals("exited 4 143 false killed", driver.next());
    held = sync();
    assertEquals("[]", texts(held.body.path("killing")));
  }

  @Test
  void eachEndIsToldOnceAlsoWhenANewLeaderRestatesIt() throws Exception {
    start();
    FakeBerth.Request r = sync();
    String exit = "{'seq':1,'type':'EXECUTOR_EXITED','executorId':'1','causedByApp':true,'message':'m'}";
    String later = "{'seq':2,'type':'EXECUTOR_EXITED','executorId':'2','exitCode':1,'causedByApp':true,'new':{}}";
    r.ok(events(r, 1, exit + "," + later + ",{'seq':3,'type':'OF_LATER','executorId':'1'},{'seq':4}"));
    assertEquals("exited 1 null true m", driver.next());
    assertEquals("exited 2 1 true ", driver.next());
    r = sync();
    assertEquals(1, r.body.path("epoch").asLong());
    assertEquals(4, r.body.path("after").asLong());
    r.ok(events(r, 2, exit + ",{'seq':2,'type':'EXECUTOR_EXITED','executorId':'3','causedByApp':false}"));
    assertEquals("exited 3 null false ", driver.next());
    r = sync();
    assertEquals(2, r.body.path("epoch").asLong());
    assertEquals(2, r.body.path("after").asLong());
    r.ok(events(r, 2, "{'seq':9,'type':'EXECUTOR_EXITED','executorId':'9'}"));
    assertEquals("exited 9 null false ", driver.next());
    r = sync();
    assertEquals(0, r.body.path("epoch").asLong(), "an event is missing: everything is asked for");
    r.ok(events(r, 2, ""));
    assertNull(driver.told.poll());
  }

  @Test
  void aDecommissionIsRepeatedUntilTheExecutorIsThere() throws Exception {
    driver.refusing = Collections.singletonList("1");
    start();
    FakeBerth.Request r = sync();
    r.ok(events(r, 1, "{'seq':1,'type':'DECOMMISSION','executorId':'1','replace':true,'message':'drain'},"
        + "{'seq':2,'type':'DECOMMISSION','executorId':'2'}"));
    assertEquals("refused 1", driver.next());
    assertEquals("decommission 2 false decommissioned by Berth", driver.next());
    r = sync();
    driver.refusing = Collections.emptyList();
    r.ok(quiet(r));
    assertEquals("decommission 1 true drain", driver.next());
    r = sync();
    r.ok(events(r, 3, "{'seq':1,'type':'DECOMMISSION','executorId':'1','replace':true,'message':'drain'}"));
    r = sync();
    assertNull(driver.told.poll(), "a restated order is not carried out twice");
    r.drop();
  }

  @Test
  void boundsAreStateNotEvents() throws Exception {
    start();
    FakeBerth.Request r = sync();
    assertEquals(0, r.body.path("boundsRevision").asLong());
    r.ok("{'epoch':1,'events':[],'bounds':{'revision':5,'min':2,'max':2}}");
    assertEquals("bounds 2 to 2", driver.next());
    assertEquals(2, session.bounds().clamp(7));
    r = sync();
    assertEquals(5, r.body.path("boundsRevision").asLong());
    r.ok("{'epoch':1,'events':[],'bounds':{'revision':5,'min':2,'max':2}}");
    r = sync();
    r.ok("{'epoch':1,'events':[],'bounds':{'revision':6,'min':3,'max':1}}"); // nonsense is made sense of
    assertEquals("bounds 3 to 3", driver.next());
    r = sync();
    r.ok("{'epoch':1,'events':[],'bounds':{'revision':0,'min':0,'max':0}}");
    assertEquals("bounds none", driver.next());
    r = sync();
    r.ok("{'epoch':1,'events':[]}"); // a Berth without bounds in its answer
    r = sync();
    assertNull(driver.told.poll());
    r.drop();
  }

  @Test
  void aBerthThatForgotTheDriverIsToldEverything() throws Exception {
    driver.connected = Arrays.asList("4", "5");
    start();
    FakeBerth.Request held = sync();
    want(2);
    berth.next("target").ok("{'targetGeneration':101}");
    session.kill(Arrays.asList("4", "6"));
    berth.next("kill").ok("{}");
    held.problem(404, "spark.unknown");
    FakeBerth.Request r = berth.next();
    assertEquals("apps", r.call());
    assertEquals("[4, 5]", texts(r.body.path("registeredExecutors")));
    assertEquals("[4]", texts(r.body.path("killing")), "6 is gone already, and nobody would tell");
    assertEquals(101, r.body.path("target").path("generation").asLong());
    assertEquals(2, r.body.path("target").path("profiles").path(0).path("total").asInt());
    r.problem(503, "not.leader");
    r = berth.next();
    assertEquals("apps", r.call());
    want(3); // while it is on its way
    r.ok("{'epoch':1,'targetGeneration':101}");
    List<String> calls = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      r = berth.next();
      calls.add(r.call());
      if (r.call().equals("target")) {
        assertEquals(102, r.body.path("generation").asLong());
      }
    }
    Collections.sort(calls);
    assertEquals(Arrays.asList("sync", "target"), calls);
  }

  @Test
  void theSenderWaitsUntilTheDriverIsRegisteredAgain() throws Exception {
    start();
    FakeBerth.Request held = sync();
    want(2);
    berth.next().problem(404, "spark.unknown");
    held.problem(404, "spark.unknown");
    FakeBerth.Request r = berth.next();
    assertEquals("apps", r.call(), "no target before the registration");
    r.ok("{'epoch':1,'targetGeneration':0}");
    berth.next("target").ok("{'targetGeneration':101}");
  }

  @Test
  void aBerthThatForgetsAtOnceIsNotAskedInALoop() throws Exception {
    start();
    long began = System.nanoTime();
    for (int i = 0; i < 4; i++) {
      sync().problem(404, "spark.unknown");
      FakeBerth.Request r = berth.next();
      assertEquals("apps", r.call());
      r.ok("{'epoch':1}");
    }
    assertTrue(System.nanoTime() - began > 800_000_000L, "at least 250/2 + 500/2 + 1000/2 ms");
  }

  @Test
  void aBerthThatDoesNotHoldThePollIsNotAskedInALoop() throws Exception {
    start();
    FakeBerth.Request r = sync();
    long began = System.nanoTime();
    for (int i = 0; i < 2; i++) {
      r.ok(quiet(r));
      r = sync();
    }
    assertTrue(System.nanoTime() - began > 300_000_000L);
    r.drop();
  }

  @Test
  void answersOfAnUnexpectedShapeDoNotEndTheConversation() throws Exception {
    start();
    for (String body : new String[] {"{'epoch':'x','events':{'a':1},'bounds':[]}", "{}", "{'events':[1,'a',null,{'seq':'x'}]}"}) {
      sync().ok(body);
    }
    FakeBerth.Request r = sync();
    r.ok(events(r, 1, "{'seq':1,'type':'EXECUTOR_EXITED','executorId':'1','exitCode':'x'}"));
    assertEquals("exited 1 null false ", driver.next());
  }

  @Test
  void knowsWhetherBerthAnswers() throws Exception {
    start();
    FakeBerth.Request r = sync();
    assertTrue(session.answering());
    r.problem(503, "unavailable");
    r = sync();
    assertFalse(session.answering());
    r.ok(quiet(r));
    r = sync();
    assertTrue(session.answering());
    r.drop();
  }

  @Test
  void unregistersOnceAndWithinItsTime() throws Exception {
    start();
    sync();
    CompletableFuture<Void> f = CompletableFuture.runAsync(() -> session.stop(true, "exit code 1", 10_000));
    FakeBerth.Request r = berth.next();
    assertEquals("POST /v1/spark/apps/app-1/unregister", r.method + " " + r.path);
    assertEquals("FAILED", r.body.path("state").asText());
    assertEquals("exit code 1", r.body.path("message").asText());
    r.ok("{}");
    f.get(30, TimeUnit.SECONDS);
    session.stop(false, "", 10_000);
    assertEquals(0, berth.waiting());
  }

  @Test
  void aSilentBerthDoesNotKeepTheDriverFromStopping() throws Exception {
    start();
    sync();
    CompletableFuture<Void> f = CompletableFuture.runAsync(() -> session.stop(false, "", 100));
    assertEquals("unregister", berth.next().call());
    f.get(30, TimeUnit.SECONDS);
  }

  @Test
  void aDriverThatNeverRegisteredDoesNotUnregister() throws Exception {
    CompletableFuture<Void> f = starting(60_000);
    FakeBerth.Request r = berth.next();
    session.stop(false, "", 10_000);
    r.drop();
    failure(f);
    assertEquals(0, berth.waiting());
  }
}
