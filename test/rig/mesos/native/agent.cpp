#include "mesosd.h"

int agent(int argc, char **argv) {
  void *flags = room();
  AgentFlags(flags);
  load(type_AgentFlags, flags, argc, argv, false);
  OptString work = option("work_dir", argc, argv), runtime = option("runtime_dir", argc, argv),
            master = option("master", argc, argv);
  if (work.none || runtime.none || master.none) die("agent", "needs --master, --work_dir and --runtime_dir");
  make_directories(work.value);
  make_directories(runtime.value);
  start("slave(1)", "mesos-agent", argc, argv);

  void *fetcher = room(), *gc = room(), *files = room(), *updates = room(), *agent = room();
  Fetcher(fetcher, flags);
  GarbageCollector(gc, work.value);
  void *secrets = must("secret resolver", secrets_create(OptString()));
  void *containers = must(
      "containerizer", containerizer_create(flags, false, fetcher, gc, secrets, nullptr, nullptr, nullptr));
  void *detector = must("master detector", detector_create(master, OptString(), Opt<long>()));
  Files(files, std::string("mesos-agent-readonly"), Opt<void *>());
  UpdateManager(updates, flags);
  void *estimator = must("resource estimator", estimator_create(OptString()));
  void *qos = must("qos controller", qos_create(OptString()));
  Agent(agent, "slave(1)", flags, detector, containers, files, gc, updates, estimator, qos, nullptr, nullptr, nullptr,
        new Nothing, Opt<Nothing>(), Opt<void *>());
  return run(type_Agent, agent);
}
