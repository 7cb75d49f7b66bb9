// mesosd runs a Mesos master or agent from the libmesos inside a Python
// extension. Under the name mesos-containerizer it is the agent's helper.
#include "mesosd.h"

#include <cstring>

int containerizer(int argc, char **argv) {
  if (argc < 2 || strcmp(argv[1], "launch")) die("mesos-containerizer", "only the launch command is here");
  // The class's constructor is inline and so not exported. The flags are a
  // member at this offset in this one build, which the next check proves.
  constexpr size_t flags_offset = 0xe0;
  char *launch = static_cast<char *>(room());
  *reinterpret_cast<void **>(launch) = vtable_Launch + 2;
  LaunchFlags(launch + flags_offset);
  void *flags = launch_flags(launch);
  if (flags != upcast(type_LaunchFlags, type_FlagsBase, launch + flags_offset))
    die("mesos-containerizer", "unknown build of libmesos");
  TryFlags t = flags_load(flags, std::string("MESOS_CONTAINERIZER_"), argc - 1, argv + 1, false, false);
  if (t.none) die("mesos-containerizer flags", t.error.value);
  return launch_execute(launch);
}

int main(int argc, char **argv) {
  std::string name = argv[0];
  name = name.substr(name.rfind('/') + 1);
  if (name == "mesos-containerizer") return containerizer(argc, argv);
  if (argc < 2) die("usage", "mesosd master|agent [--flag=value ...]");
  std::string mode = argv[1];
  argv[1] = argv[0];
  if (mode == "master") return master(argc - 1, argv + 1);
  if (mode == "agent") return agent(argc - 1, argv + 1);
  die("unknown mode", mode);
}
