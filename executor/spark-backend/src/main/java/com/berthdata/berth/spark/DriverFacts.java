package com.berthdata.berth.spark;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.scheduler.cluster.CoarseGrainedSchedulerBackend;
import scala.Tuple2;

/** What a registration says about the driver and about how its executors are started. */
final class DriverFacts {
  private static final int MAX_ENTRIES = 1_024;
  private static final String ENV = "spark.executorEnv.";

  /** Groups of properties that Berth schedules or judges by. */
  private static final List<String> PREFIXES = Arrays.asList("spark.mesos.", "spark.berth.", "spark.dynamicAllocation.",
      "spark.decommission.", "spark.executor.decommission.", "spark.storage.decommission.");
  private static final Set<String> NAMES = new HashSet<>(Arrays.asList(
      "spark.streaming.receiver.writeAheadLog.enable", "spark.streaming.dynamicAllocation.enabled",
      "spark.streaming.stopGracefullyOnShutdown", "spark.sql.streaming.metricsEnabled", "spark.metrics.namespace",
      "spark.authenticate", "spark.shuffle.service.enabled", "spark.task.cpus", "spark.task.maxFailures", "spark.cores.max"));

  private final SparkContext context;
  private final Identity identity;

  DriverFacts(SparkContext context, Identity identity) {
    this.context = context;
    this.identity = identity;
  }

  void describe(ObjectNode n) {
    SparkConf conf = context.conf();
    n.put("appName", Messages.cut(context.appName(), 1_024));
    n.put("sparkVersion", Messages.cut(context.version(), 64));
    n.put("scalaVersion", Messages.cut(scala.util.Properties.versionNumberString(), 64));
    n.put("javaVersion", Messages.cut(System.getProperty("java.version", ""), 64));
    n.put("pluginVersion", Messages.cut(version(), 128));
    n.put("user", Messages.cut(context.sparkUser(), 255));
    n.put("driverTaskId", Messages.cut(identity.taskId, 255));
    // Spark has put the real host and port into its configuration by now.
    String host = conf.get("spark.driver.host");
    int port = Integer.parseInt(conf.get("spark.driver.port"));
    n.put("driverHost", host);
    n.put("driverPort", port);
    n.put("driverUrl", "spark://" + CoarseGrainedSchedulerBackend.ENDPOINT_NAME() + "@" + host + ":" + port);
    n.put("uiUrl", context.uiWebUrl().isDefined() ? Messages.cut(context.uiWebUrl().get(), 512) : "");
    n.put("startedAtMs", context.startTime());
    Map<String, String> all = settings(conf);
    Secrets secrets = new Secrets(all.getOrDefault("spark.redaction.regex", ""));
    executor(n.putObject("executor"), all, secrets);
    properties(n.putObject("properties"), all, secrets);
    Messages.list(n, "withheld", first(secrets.withheld()));
  }

  static String version() {
    String v = DriverFacts.class.getPackage().getImplementationVersion();
    return v == null ? "unknown" : v;
  }

  private static Map<String, String> settings(SparkConf conf) {
    Map<String, String> all = new TreeMap<>();
    for (Tuple2<String, String> kv : conf.getAll()) {
      all.put(kv._1(), kv._2());
    }
    return all;
  }

  private void executor(ObjectNode n, Map<String, String> all, Secrets secrets) {
    List<String> options = new ArrayList<>();
    for (Map.Entry<String, String> e : all.entrySet()) {
      // What an executor needs before it can ask the driver for the rest.
      if (SparkConf.isExecutorStartupConf(e.getKey())) {
        options.add("-D" + e.getKey() + "=" + e.getValue());
      }
    }
    // Spark has put the module flags that Java 17 demands into the latter.
    options.addAll(CommandLine.split(all.getOrDefault("spark.executor.defaultJavaOptions", "")));
    options.addAll(CommandLine.split(all.getOrDefault("spark.executor.extraJavaOptions", "")));
    ArrayNode java = n.putArray("javaOptions");
    for (String o : CommandLine.withoutRepetitions(options)) {
      if (secrets.allowsArgument(o)) {
        java.add(o);
      }
    }
    paths(n.putArray("classPath"), all.getOrDefault("spark.executor.extraClassPath", ""));
    paths(n.putArray("libraryPath"), all.getOrDefault("spark.executor.extraLibraryPath", ""));
    ObjectNode env = n.putObject("env");
    for (Map.Entry<String, String> e : all.entrySet()) {
      if (e.getKey().startsWith(ENV)) {
        String name = e.getKey().substring(ENV.length());
        if (secrets.allows(name, e.getValue(), "env:" + name)) {
          env.put(name, e.getValue());
        }
      }
    }
  }

  private static void properties(ObjectNode n, Map<String, String> all, Secrets secrets) {
    for (Map.Entry<String, String> e : all.entrySet()) {
      String name = e.getKey();
      boolean wanted = NAMES.contains(name);
      for (String p : PREFIXES) {
        wanted |= name.startsWith(p);
      }
      if (wanted && n.size() < MAX_ENTRIES && secrets.allows(name, e.getValue(), name)) {
        n.put(name, e.getValue());
      }
    }
  }

  private static void paths(ArrayNode into, String path) {
    for (String p : path.split(":")) {
      if (!p.isEmpty()) {
        into.add(p);
      }
    }
  }

  private static List<String> first(Collection<String> names) {
    List<String> out = new ArrayList<>(names);
    return out.size() <= MAX_ENTRIES ? out : out.subList(0, MAX_ENTRIES);
  }
}
