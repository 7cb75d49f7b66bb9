package com.berthdata.berth.spark;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.spark.SparkContext;
import org.apache.spark.resource.ExecutorResourceRequest;
import org.apache.spark.resource.ResourceProfile;
import org.apache.spark.rpc.RpcAddress;
import org.apache.spark.scheduler.ExecutorDecommissionInfo;
import org.apache.spark.scheduler.ExecutorExited;
import org.apache.spark.scheduler.ExecutorLossReason;
import org.apache.spark.scheduler.ExecutorProcessLost;
import org.apache.spark.scheduler.TaskSchedulerImpl;
import org.apache.spark.scheduler.cluster.CoarseGrainedSchedulerBackend;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import scala.Option;
import scala.Tuple2;
import scala.collection.Iterator;
import scala.concurrent.Future;
import scala.concurrent.Future$;

/**
 * Between Spark's scheduler, which decides how many executors there should be and which of them go, and
 * {@link Session}, which tells Berth and hears from it. Compiled against Spark 3.5 with Scala 2.12 and
 * loaded by 4.x with Scala 2.13: methods whose signature has a Seq are avoided or defined twice.
 */
public final class BerthSchedulerBackend extends CoarseGrainedSchedulerBackend {
  private static final Logger LOG = LoggerFactory.getLogger(BerthSchedulerBackend.class);
  private static final long UNREGISTER_MS = 5_000;
  /** A driver's process may make one SparkContext after the other: the attempt is the same. */
  private static final AtomicLong GENERATIONS = new AtomicLong();

  private final SparkContext context;
  private final TaskSchedulerImpl scheduler;
  private final Identity identity;
  private final DriverSettings settings;
  private final Session session;
  private final ScheduledExecutorService timer;
  private final AtomicBoolean stopped = new AtomicBoolean();

  BerthSchedulerBackend(SparkContext context, TaskSchedulerImpl scheduler, Identity identity) {
    super(scheduler, context.env().rpcEnv());
    this.context = context;
    this.scheduler = scheduler;
    this.identity = identity;
    DriverSettings.prepare(context.conf(), System.getProperties());
    this.settings = new DriverSettings(context.conf());
    Api api = new Api(identity.addresses, identity.token, Trust.of(identity.caFile));
    this.session = new Session(api, identity, new FromBerth(new DriverFacts(context, identity)),
        new ProcessEnding(settings.stopGraceMs), GENERATIONS, settings.syncWaitMs);
    this.timer = Executors.newSingleThreadScheduledExecutor(r -> {
      Thread t = new Thread(r, "berth-timer");
      t.setDaemon(true);
      return t;
    });
  }

  @Override
  public String applicationId() {
    return identity.appId;
  }

  @Override
  public Option<String> applicationAttemptId() {
    return Option.apply(String.valueOf(identity.attemptId));
  }

  @Override
  public void start() {
    super.start();
    session.start(settings.registerTimeoutMs);
    LOG.info("Berth's backend {}: {}, attempt {}", DriverFacts.version(), identity.appId, identity.attemptId);
    if (!settings.dynamicAllocation) {
      // Through Spark's own books, so that requestExecutors adds to this number.
      requestTotalExecutors(one(settings.initial), one(0), one(scala.collection.immutable.Map$.MODULE$.<String, Object>empty()));
    }
  }

  // Scala's Map has no method to add to it that both versions have; Map1 is the same in both.
  private static <V> scala.collection.immutable.Map<Object, V> one(V value) {
    return new scala.collection.immutable.Map.Map1<>(Sizes.DEFAULT_PROFILE, value);
  }

  @Override
  public boolean sufficientResourcesRegistered() {
    int wanted = session.bounds().clamp(settings.initial);
    return totalRegisteredExecutors().get() >= wanted * minRegisteredRatio();
  }

  @Override
  public double minRegisteredRatio() {
    // Spark's default of 0 has a batch job run its first stage on whoever is there first.
    return conf().contains("spark.scheduler.minRegisteredResourcesRatio") ? super.minRegisteredRatio() : 0.8;
  }

  @Override
  public void stop() {
    stop(0);
  }

  @Override
  public void stop(int exitCode) {
    if (!stopped.compareAndSet(false, true)) {
      return;
    }
    // First of all: Berth would replace the executors that are about to leave.
    session.stop(exitCode != 0, exitCode == 0 ? "" : "exit code " + exitCode, UNREGISTER_MS);
    timer.shutdownNow();
    super.stop();
  }

  // ---- what Spark asks for ----

  @Override
  public Future<Object> doRequestTotalExecutors(scala.collection.immutable.Map<ResourceProfile, Object> totals) {
    List<Target.Profile> profiles = new ArrayList<>();
    Iterator<Tuple2<ResourceProfile, Object>> it = totals.iterator();
    while (it.hasNext()) {
      Tuple2<ResourceProfile, Object> t = it.next();
      Map<String, Long> amounts = new HashMap<>();
      for (ExecutorResourceRequest r : t._1().executorResourcesJMap().values()) {
        amounts.put(r.resourceName(), r.amount());
      }
      profiles.add(Sizes.profile(t._1().id(), (Integer) t._2(), amounts, settings));
    }
    session.want(profiles, excludedNodes(), settings.sparkScales);
    return recorded();
  }

  /** In Spark 3.5. */
  public Future<Object> doKillExecutors(scala.collection.Seq<String> ids) {
    return kill(ids.iterator());
  }

  /** In Spark 4.x. */
  public Future<Object> doKillExecutors(scala.collection.immutable.Seq<String> ids) {
    return kill(ids.iterator());
  }

  private Future<Object> kill(Iterator<String> it) {
    session.kill(strings(it));
    return recorded();
  }

  /** The wish is kept until Berth has it, however long that takes: Spark must not wait for it. */
  private static Future<Object> recorded() {
    return Future$.MODULE$.successful((Object) Boolean.TRUE);
  }

  private Collection<String> excludedNodes() {
    return strings(scheduler.excludedNodes().iterator());
  }

  private static List<String> strings(Iterator<String> it) {
    List<String> out = new ArrayList<>();
    while (it.hasNext()) {
      out.add(it.next());
    }
    return out;
  }

  // ---- executors that leave ----

  @Override
  public CoarseGrainedSchedulerBackend.DriverEndpoint createDriverEndpoint() {
    return new Endpoint();
  }

  private final class Endpoint extends CoarseGrainedSchedulerBackend.DriverEndpoint {
    /** Spark would count the loss as the application's fault; Berth knows better, a moment later. */
    @Override
    public void onDisconnected(RpcAddress address) {
      Option<String> id = addressToExecutorId().get(address);
      if (id.isEmpty()) {
        return;
      }
      LOG.info("executor {} has disconnected; waiting for Berth to tell why", id.get());
      disableExecutor(id.get());
      try {
        timer.schedule(() -> withoutReason(id.get()), settings.lossReasonWaitMs, TimeUnit.MILLISECONDS);
      } catch (RejectedExecutionException e) {
        LOG.debug("the driver stops, and its executors with it");
      }
    }
  }

  /**
   * Berth has not told: its agent is silent too when Berth answers, and the application is not to
   * blame. Without Berth nobody knows, and an application that kills its executors must end some time.
   */
  private void withoutReason(String id) {
    if (isRegistered(id)) {
      boolean answering = session.answering();
      removeExecutor(id, new ExecutorProcessLost("the executor has disconnected, and Berth "
          + (answering ? "does not know of its end: its agent may be lost" : "does not answer"), Option.empty(), !answering));
    }
  }

  private boolean isRegistered(String id) {
    return getExecutorsWithRegistrationTs().contains(id);
  }

  // ---- what Berth tells ----

  private final class FromBerth implements Session.Driver {
    private final DriverFacts facts;

    FromBerth(DriverFacts facts) {
      this.facts = facts;
    }

    @Override
    public void describe(ObjectNode registration) {
      facts.describe(registration);
    }

    @Override
    public Collection<String> registeredExecutors() {
      List<String> out = new ArrayList<>();
      Iterator<Tuple2<String, Object>> it = getExecutorsWithRegistrationTs().iterator();
      while (it.hasNext()) {
        out.add(it.next()._1());
      }
      return out;
    }

    @Override
    public Collection<String> drainingExecutors() {
      List<String> out = new ArrayList<>();
      synchronized (BerthSchedulerBackend.this) { // as Spark guards it
        Iterator<Tuple2<String, ExecutorDecommissionInfo>> it = executorsPendingDecommission().iterator();
        while (it.hasNext()) {
          out.add(it.next()._1());
        }
      }
      return out;
    }

    @Override
    public long maxExecutorId() {
      return currentExecutorIdCounter();
    }

    @Override
    public void bounds(Bounds bounds) {
      if (bounds.inForce() && settings.dynamicAllocation && session.target() == null) {
        DriverSettings.limit(context.conf(), bounds);
      }
    }

    @Override
    public void executorExited(String id, Integer exitCode, boolean causedByApp, String message) {
      ExecutorLossReason why = exitCode == null
          ? new ExecutorProcessLost(message, Option.empty(), causedByApp)
          : new ExecutorExited(exitCode, causedByApp, message);
      removeExecutor(id, why);
    }

    @Override
    public boolean decommission(String id, boolean replace, String message) {
      // Whom nobody replaces, Spark counts off its wish.
      return decommissionExecutor(id, new ExecutorDecommissionInfo(message, Option.empty()), !replace, false);
    }

    @Override
    public void synced() {
      session.exclude(excludedNodes());
      trim();
    }

    /** The operator has lowered the bounds: Berth stops no executor for that, since Spark knows whom. */
    private void trim() {
      Target t = session.target();
      Bounds bounds = session.bounds();
      if (t == null || !bounds.inForce()) {
        return;
      }
      int limit = bounds.limit(t.total(), settings.sparkScales);
      List<Surplus.Executor> active = new ArrayList<>();
      for (String id : registeredExecutors()) {
        if (isExecutorActive(id)) {
          active.add(new Surplus.Executor(id, scheduler.isExecutorBusy(id)));
        }
      }
      for (String id : Surplus.above(limit, active)) {
        LOG.info("executor {} is decommissioned: {} are active, the operator's bounds allow {}", id, active.size(), limit);
        decommissionExecutor(id, new ExecutorDecommissionInfo("scaled down to " + limit, Option.empty()), false, false);
      }
    }
  }
}
