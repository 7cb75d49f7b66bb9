#include "mesosd.h"

#include <cctype>
#include <cstdlib>
#include <unistd.h>

// local::launch reads flags from MESOS_* alone, so the command line goes there.
static void flags_to_environment(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    std::string name = argv[i], value = "true", variable = "MESOS_";
    if (name.compare(0, 2, "--")) die("not a flag", name);
    name.erase(0, 2);
    size_t eq = name.find('=');
    if (eq != std::string::npos) {
      value = name.substr(eq + 1);
      name.resize(eq);
    } else if (!name.compare(0, 3, "no-")) {
      value = "false";
      name.erase(0, 3);
    }
    for (char c : name) variable += c == '-' ? '_' : toupper(c);
    setenv(variable.c_str(), value.c_str(), 1);
  }
}

static int single(int argc, char **argv) {
  // Refuses misspelt flags, which the environment would swallow.
  void *check = room();
  MasterFlags(check);
  load(type_MasterFlags, check, argc, argv, false);

  setenv("MESOS_NUM_SLAVES", "0", 1);
  flags_to_environment(argc, argv);
  void *flags = room();
  LocalFlags(flags);
  load(type_LocalFlags, flags, argc, argv, true);
  start("master", "mesos-master", argc, argv);
  local_launch(room(), flags, nullptr);
  for (;;) pause();
}

// One of several masters, which elect a leader and share a replicated log.
static int elected(const std::string &zk, int argc, char **argv) {
  void *flags = room();
  MasterFlags(flags);
  load(type_MasterFlags, flags, argc, argv, false);
  OptString work = option("work_dir", argc, argv), quorum = option("quorum", argc, argv);
  const std::string scheme = "zk://";
  size_t path = zk.find('/', scheme.size());
  if (zk.compare(0, scheme.size(), scheme) || path == std::string::npos || work.none || quorum.none)
    die("master", "needs --zk=zk://host:port/path, --quorum and --work_dir");
  if (!option("acls", argc, argv).none) die("master", "--acls does not work together with --zk here");
  make_directories(work.value);
  start("master", "mesos-master", argc, argv);

  void *allocator = room(), *log = room(), *storage = room(), *registrar = room(), *files = room(), *master = room();
  void **state = static_cast<void **>(room());
  Allocator(allocator);
  Log(log, atoi(quorum.value.c_str()), work.value + "/replicated_log", zk.substr(scheme.size(), path - scheme.size()),
      10000000000L /* ns */, zk.substr(path) + "/log_replicas", OptString(), true, std::string("registrar/"));
  LogStorage(storage, log, 0);
  // State's constructor is inline and so not exported: a vtable and a storage.
  state[0] = vtable_State + 2;
  state[1] = storage;
  Registrar(registrar, flags, state, std::string("mesos-master-readonly"));
  Files(files, std::string("mesos-master-readonly"), Opt<void *>());
  void *contender = must("contender", contender_create(zk, OptString(), Opt<long>()));
  void *detector = must("master detector", detector_create(zk, OptString(), Opt<long>()));
  Master(master, allocator, registrar, files, contender, detector, Opt<void *>(), Opt<Nothing>(), flags);
  return run(type_Master, master);
}

int master(int argc, char **argv) {
  OptString zk = option("zk", argc, argv);
  return zk.none ? single(argc, argv) : elected(zk.value, argc, argv);
}
