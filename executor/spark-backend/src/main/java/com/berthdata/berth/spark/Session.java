package com.berthdata.berth.spark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One SparkContext's conversation with Berth. Two daemon threads: one holds the long poll, which is
 * also the heartbeat and the place where a forgotten driver registers anew; one delivers the newest
 * target and the kills. Both repeat until it has worked or the driver stops.
 *
 * <p>Nothing is sent by the threads that call {@link #want}, {@link #kill} and {@link #driver}'s
 * methods: Spark holds its locks there.
 */
final class Session {
  private static final Logger LOG = LoggerFactory.getLogger(Session.class);
  private static final String APPS = "/v1/spark/apps";
  private static final long ANSWER_MS = 15_000;
  private static final long FIRST_PAUSE_MS = 250;
  static final long LONGEST_PAUSE_MS = 10_000;
  /** How long a token that is refused is tried at the start: it may be on its way to the leader. */
  private static final long UNAUTHORIZED_MS = 60_000;
  /** Between two syncs without news, also when the server does not wait. */
  private static final long SHORTEST_SYNC_MS = 1_000;
  /** Warnings about the same trouble are not repeated more often. */
  private static final long WARN_EVERY_MS = 60_000;

  /** The driver, as the session sees it. The methods may be called from either thread. */
  interface Driver {
    /** The fields of a registration that do not change, without those of {@link Messages#request}. */
    void describe(ObjectNode registration);

    /** Executors that are connected. */
    Collection<String> registeredExecutors();

    /** Executors that Spark is decommissioning. */
    Collection<String> drainingExecutors();

    /** The highest id of an executor that was ever connected. */
    long maxExecutorId();

    /** Bounds in force, before any of the first registration's target; also when they change. */
    void bounds(Bounds bounds);

    /** An executor has ended; exitCode is null when it is not known. */
    void executorExited(String id, Integer exitCode, boolean causedByApp, String message);

    /** Tells whether the executor is being decommissioned now; else it is asked again later. */
    boolean decommission(String id, boolean replace, String message);

    /** An exchange with Berth has just worked. */
    void synced();
  }

  /** How a driver ends that may not go on. */
  interface Ending {
    /** A newer attempt owns the application: not one more write. */
    void superseded(String why);

    /** The application was killed: an orderly end. */
    void ended(String why);
  }

  private final Api api;
  private final String appId;
  private final Messages messages;
  private final Driver driver;
  private final Ending ending;
  private final AtomicLong generations;
  private final long syncWaitMs;
  private final Backoff syncBackoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, () -> ThreadLocalRandom.current().nextDouble());
  private final Backoff sendBackoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, () -> ThreadLocalRandom.current().nextDouble());
  private final Events events = new Events(); // of the sync thread
  private final Orders orders = new Orders();
  private final Object lock = new Object();

  // guarded by lock
  private Target target;
  private long heldGeneration;
  private long refusedGeneration;
  private Bounds bounds = Bounds.NONE;
  private boolean stopping;
  private int registrations;

  private volatile boolean failing;
  private volatile long answeredAt;
  private long warnedAt;
  private Thread sync;
  private Thread send;

  /** generations counts for all sessions of one driver's process: Berth drops a number that it has seen. */
  Session(Api api, Identity identity, Driver driver, Ending ending, AtomicLong generations, long syncWaitMs) {
    this.api = api;
    this.appId = identity.appId;
    this.messages = new Messages(identity.attemptId);
    this.driver = driver;
    this.ending = ending;
    this.generations = generations;
    this.syncWaitMs = Math.min(30_000, syncWaitMs);
  }

  /**
   * Registers and starts the threads. Fails when Berth refuses the driver, does not take its token, or
   * cannot be reached within timeoutMs.
   */
  void start(long timeoutMs) {
    firstRegistration(timeoutMs);
    sync = daemon("berth-sync", this::syncLoop);
    send = daemon("berth-send", this::sendLoop);
  }

  /** Unregisters, within waitMs, and ends the threads. A session that never registered only ends. */
  void stop(boolean failed, String message, long waitMs) {
    boolean known;
    synchronized (lock) {
      if (stopping) {
        return;
      }
      stopping = true;
      known = registrations > 0;
      lock.notifyAll();
    }
    if (known) {
      Thread last = daemon("berth-unregister", () -> unregister(failed, message, waitMs));
      try {
        last.join(waitMs);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
    api.close();
  }

  private void unregister(boolean failed, String message, long waitMs) {
    try {
      api.call("POST", path("unregister"), messages.unregister(failed, message), waitMs);
    } catch (ApiException e) {
      LOG.warn("Berth was not told that this driver stops, and may replace executors until its task has ended: {}", e.getMessage());
    }
  }

  /** Spark's wish from now on. */
  void want(List<Target.Profile> profiles, Collection<String> excludedNodes, boolean dynamicAllocation) {
    synchronized (lock) {
      target = new Target(generations.incrementAndGet(), profiles, excludedNodes, dynamicAllocation);
      lock.notifyAll();
    }
  }

  /** The same wish with other excluded nodes, if they are others. */
  void exclude(Collection<String> nodes) {
    synchronized (lock) {
      Target t = target;
      if (t != null && !new TreeSet<>(t.excludedNodes).equals(new TreeSet<>(nodes))) {
        want(t.profiles, nodes, t.dynamicAllocation);
      }
    }
  }

  /** Spark wants these executors gone. */
  void kill(Collection<String> ids) {
    orders.kill(ids);
    synchronized (lock) {
      lock.notifyAll();
    }
  }

  /** The wish that was last stated; null before there is one. */
  Target target() {
    synchronized (lock) {
      return target;
    }
  }

  Bounds bounds() {
    synchronized (lock) {
      return bounds;
    }
  }

  /** Whether Berth would have told by now of an executor that has ended. */
  boolean answering() {
    return !failing && System.nanoTime() - answeredAt < (syncWaitMs + ANSWER_MS) * 1_000_000;
  }

  // ---- registering ----

  private void firstRegistration(long timeoutMs) {
    Backoff backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS, () -> ThreadLocalRandom.current().nextDouble());
    long began = System.nanoTime();
    while (true) {
      try {
        register();
        return;
      } catch (ApiException e) {
        long took = (System.nanoTime() - began) / 1_000_000;
        switch (e.kind) {
          case SUPERSEDED:
            ending.superseded(e.getMessage());
            throw new IllegalStateException("a newer attempt of this application runs: " + e.getMessage());
          case ENDED:
            ending.ended(e.getMessage());
            throw new IllegalStateException("the application was killed or has ended: " + e.getMessage());
          case REFUSED:
            throw new IllegalStateException("Berth refuses this driver: " + e.getMessage());
          case UNAUTHORIZED:
            if (took > Math.min(timeoutMs, UNAUTHORIZED_MS)) {
              throw new IllegalStateException("Berth does not take this driver's token: " + e.getMessage());
            }
            break;
          default:
            if (took > timeoutMs) {
              throw new IllegalStateException("Berth could not be reached within " + timeoutMs / 1000 + " s: " + e.getMessage());
            }
        }
        warn("register: {}; trying again", e.getMessage());
        if (!pause(Math.max(backoff.next(), e.retryAfterMs))) {
          throw new IllegalStateException("stopped before Berth could be reached");
        }
      }
    }
  }

  private void register() throws ApiException {
    JsonNode answer = api.call("POST", APPS, registration(), ANSWER_MS);
    answered();
    synchronized (lock) {
      registrations++;
      heldGeneration = answer.path("targetGeneration").asLong(0);
      lock.notifyAll();
    }
    LOG.info("registered with Berth at {} as {}, framework {}", api.address(), appId, answer.path("frameworkId").asText(""));
    takeBounds(answer.path("bounds"));
  }

  private ObjectNode registration() {
    ObjectNode n = messages.request();
    n.put("appId", appId);
    driver.describe(n);
    if (registrationCount() > 0) {
      orders.forgotten(driver.registeredExecutors());
    }
    executors(n);
    Target t = target();
    if (t == null) {
      n.putNull("target");
    } else {
      n.set("target", messages.target(t));
    }
    return n;
  }

  /** Asks the driver, so not under the lock: Spark calls want and kill with its own locks held. */
  private void executors(ObjectNode n) {
    Messages.list(n, "registeredExecutors", driver.registeredExecutors());
    Messages.list(n, "killing", orders.killing());
    Messages.list(n, "draining", driver.drainingExecutors());
    n.put("maxExecutorId", driver.maxExecutorId());
  }

  // ---- the long poll ----

  private void syncLoop() {
    boolean known = true;
    while (!stopped()) {
      long pauseMs = 0;
      try {
        if (!known) {
          register();
          known = true;
        }
        pauseMs = exchange();
        syncBackoff.reset();
      } catch (ApiException e) {
        failing = true;
        if (fenced(e)) {
          return;
        }
        if (e.kind == ApiException.Kind.UNKNOWN) {
          known = false;
          LOG.warn("Berth does not know {}: registering again", appId);
        }
        // At once the first time; but a server that takes each registration and forgets it is not asked in a loop.
        boolean atOnce = e.kind == ApiException.Kind.UNKNOWN && syncBackoff.failures() == 0;
        pauseMs = failed("sync", e, syncBackoff);
        pauseMs = atOnce ? 0 : pauseMs;
      } catch (RuntimeException e) {
        // An answer of an unexpected shape, or Spark in the middle of stopping.
        failing = true;
        pauseMs = syncBackoff.next();
        if (!stopped()) {
          LOG.warn("sync with Berth", e);
        }
      }
      pause(pauseMs);
    }
  }

  /** One sync; says how long to pause before the next, in ms. */
  private long exchange() throws ApiException {
    long began = System.nanoTime();
    Target stated = target();
    boolean news = handle(api.call("POST", path("sync"), syncRequest(stated), syncWaitMs + ANSWER_MS), stated);
    long shortest = Math.min(SHORTEST_SYNC_MS, syncWaitMs);
    return news ? 0 : Math.max(0, shortest - (System.nanoTime() - began) / 1_000_000);
  }

  private ObjectNode syncRequest(Target stated) {
    ObjectNode n = messages.request();
    n.put("epoch", events.epoch());
    n.put("after", events.after());
    n.put("waitMs", syncWaitMs);
    n.put("boundsRevision", bounds().revision);
    n.put("generation", stated == null ? 0 : stated.generation);
    executors(n);
    return n;
  }

  /** Handles an answer and tells whether there was news in it. */
  private boolean handle(JsonNode answer, Target stated) {
    answered();
    List<JsonNode> fresh = events.accept(answer.path("epoch").asLong(0), answer.path("events"));
    long held = answer.path("targetGeneration").asLong(0);
    synchronized (lock) {
      // What was sent while the poll was held is no news of a server that answers about the time before.
      if (stated != null && held < stated.generation) {
        heldGeneration = held;
        lock.notifyAll();
      }
    }
    boolean changed = takeBounds(answer.path("bounds"));
    for (JsonNode e : fresh) {
      try {
        handleEvent(e);
      } catch (RuntimeException x) {
        LOG.warn("event {}", Messages.cut(e.toString(), 1_000), x);
      }
    }
    decommissionPending();
    driver.synced();
    return changed || !fresh.isEmpty();
  }

  private void answered() {
    answeredAt = System.nanoTime();
    if (failing) {
      failing = false;
      LOG.info("Berth answers again, at {}", api.address());
    }
  }

  private boolean takeBounds(JsonNode n) {
    Bounds b;
    synchronized (lock) {
      if (!n.isObject() || n.path("revision").asLong(0) == bounds.revision) {
        return false;
      }
      long revision = n.path("revision").asLong(0);
      int min = Math.max(0, n.path("min").asInt(0));
      b = revision > 0 ? new Bounds(revision, min, Math.max(min, n.path("max").asInt(min))) : Bounds.NONE;
      bounds = b;
    }
    LOG.info("bounds of the operator: {} executors", b);
    driver.bounds(b);
    return true;
  }

  private void handleEvent(JsonNode e) {
    String type = e.path("type").asText("");
    String id = e.path("executorId").asText("");
    switch (type) {
      case "EXECUTOR_EXITED":
        if (!id.isEmpty() && orders.ended(id)) {
          LOG.info("event {}", Messages.cut(e.toString(), 1_000));
          driver.executorExited(id, e.path("exitCode").isNumber() ? e.path("exitCode").asInt() : null,
              e.path("causedByApp").asBoolean(false), e.path("message").asText(""));
        }
        return;
      case "DECOMMISSION":
        if (!id.isEmpty()) {
          orders.decommission(new Orders.Decommission(id, e.path("replace").asBoolean(false),
              e.path("message").asText("decommissioned by Berth")));
        }
        return;
      default:
        LOG.info("event of a newer Berth, ignored: {}", Messages.cut(type, 100));
    }
  }

  private void decommissionPending() {
    for (Orders.Decommission d : orders.undone()) {
      if (driver.decommission(d.id, d.replace, d.message)) {
        LOG.info("executor {} is decommissioned: {}", d.id, d.message);
        orders.done(d.id);
      }
    }
  }

  // ---- sending ----

  private boolean unsent() {
    return target != null && target.generation > heldGeneration && target.generation > refusedGeneration;
  }

  private void sendLoop() {
    int failedAt = -1;
    while (true) {
      Target t;
      int at;
      List<String> ids;
      synchronized (lock) {
        // While Berth does not know this driver, the other thread has to register anew first.
        while (!stopping && (failedAt == registrations || !unsent() && orders.unsentKills().isEmpty())) {
          try {
            lock.wait();
          } catch (InterruptedException e) {
            return; // nobody but the end of the process does this
          }
        }
        if (stopping) {
          return;
        }
        t = unsent() ? target : null;
        at = registrations;
        ids = orders.unsentKills();
      }
      try {
        deliver(t, ids);
        sendBackoff.reset();
      } catch (ApiException e) {
        if (fenced(e)) {
          return;
        }
        if (e.kind == ApiException.Kind.UNKNOWN) {
          failedAt = at;
          continue;
        }
        pause(failed("send", e, sendBackoff));
      } catch (RuntimeException e) {
        LOG.warn("send to Berth", e);
        pause(sendBackoff.next());
      }
    }
  }

  private void deliver(Target t, List<String> ids) throws ApiException {
    if (t != null) {
      long held;
      try {
        held = api.call("PUT", path("target"), messages.target(t), ANSWER_MS).path("targetGeneration").asLong(t.generation);
      } catch (ApiException e) {
        if (e.kind != ApiException.Kind.REFUSED) {
          throw e;
        }
        LOG.error("Berth refuses this driver's wish for executors, and keeps the one before: {}", e.getMessage());
        held = 0;
        synchronized (lock) {
          refusedGeneration = t.generation;
        }
      }
      synchronized (lock) {
        heldGeneration = Math.max(heldGeneration, held);
      }
    }
    if (!ids.isEmpty()) {
      try {
        api.call("POST", path("kill"), messages.kill(ids), ANSWER_MS);
      } catch (ApiException e) {
        if (e.kind != ApiException.Kind.REFUSED) {
          throw e;
        }
        LOG.error("Berth refuses to kill executors {}: {}", ids, e.getMessage());
      }
      orders.killsSent(ids);
    }
  }

  // ---- what both do ----

  private boolean fenced(ApiException e) {
    if (e.kind != ApiException.Kind.SUPERSEDED && e.kind != ApiException.Kind.ENDED) {
      return false;
    }
    synchronized (lock) {
      stopping = true; // first: nothing more is said
      lock.notifyAll();
    }
    if (e.kind == ApiException.Kind.SUPERSEDED) {
      ending.superseded(e.getMessage());
    } else {
      ending.ended(e.getMessage());
    }
    return true;
  }

  /** How long to pause after a failure, in ms. */
  private long failed(String what, ApiException e, Backoff backoff) {
    if (!stopped()) {
      warn(what + ": {}; trying again", e.getMessage());
    }
    long ms = backoff.next();
    return Math.max(e.kind == ApiException.Kind.REFUSED ? LONGEST_PAUSE_MS : ms, e.retryAfterMs);
  }

  private void warn(String format, String message) {
    synchronized (lock) {
      long now = System.nanoTime();
      if (warnedAt != 0 && now - warnedAt < WARN_EVERY_MS * 1_000_000) {
        LOG.debug(format, message);
        return;
      }
      warnedAt = now;
    }
    LOG.warn(format, message);
  }

  /** Waits, and tells whether the session goes on. */
  private boolean pause(long ms) {
    long end = System.nanoTime() + ms * 1_000_000;
    synchronized (lock) {
      for (long left = ms; left > 0 && !stopping; left = (end - System.nanoTime()) / 1_000_000) {
        try {
          lock.wait(left);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          stopping = true;
        }
      }
      return !stopping;
    }
  }

  private boolean stopped() {
    synchronized (lock) {
      return stopping;
    }
  }

  private int registrationCount() {
    synchronized (lock) {
      return registrations;
    }
  }

  private String path(String call) {
    return APPS + "/" + appId + "/" + call;
  }

  private static Thread daemon(String name, Runnable run) {
    Thread t = new Thread(run, name);
    t.setDaemon(true);
    t.start();
    return t;
  }
}
