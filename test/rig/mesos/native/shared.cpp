#include "mesosd.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <sys/stat.h>

void *room() {
  void *p = calloc(1, 1 << 16);
  if (!p) die("memory", "none left");
  return p;
}

void *upcast(const std::type_info &from, const std::type_info &to, void *object) {
  auto *base = static_cast<const __cxxabiv1::__class_type_info *>(&to);
  if (!from.__do_upcast(base, &object)) die("unknown build of libmesos", std::string(from.name()) + " is no " + to.name());
  return object;
}

void die(const char *what, const std::string &why) {
  fprintf(stderr, "mesosd: %s: %s\n", what, why.c_str());
  exit(1);
}

void *must(const char *what, const TryPtr &result) {
  if (result.none) die(what, result.error.value);
  return result.ptr;
}

void load(const std::type_info &type, void *flags, int argc, char **argv, bool allow_unknown) {
  TryFlags t = flags_load(upcast(type, type_FlagsBase, flags), std::string("MESOS_"), argc, argv, allow_unknown, false);
  if (t.none) die("flags", t.error.value);
}

OptString option(const char *name, int argc, char **argv) {
  std::string flag = std::string("--") + name + "=", variable = "MESOS_";
  for (int i = 1; i < argc; i++)
    if (!strncmp(argv[i], flag.c_str(), flag.size())) return std::string(argv[i] + flag.size());
  for (const char *c = name; *c; c++) variable += toupper(*c);
  if (const char *v = getenv(variable.c_str())) return std::string(v);
  return OptString();
}

void make_directories(const std::string &path) {
  for (size_t i = 1; i <= path.size(); i++)
    if (i == path.size() || path[i] == '/') mkdir(path.substr(0, i).c_str(), 0755);
}

void start(const char *delegate, const std::string &component, int argc, char **argv) {
  OptString port = option("port", argc, argv), ip = option("ip", argc, argv);
  // libprocess knows no flags, only variables.
  if (!port.none) setenv("LIBPROCESS_PORT", port.value.c_str(), 1);
  if (!ip.none) setenv("LIBPROCESS_IP", ip.value.c_str(), 1);
  logging_initialize(argv[0], true, OptString());
  if (!process_initialize(std::string(delegate), component + "-readwrite", component + "-readonly"))
    die("libprocess", "initialised twice");
  void *version = room();
  Version(version);
  process_spawn(room(), upcast(type_Version, type_ProcessBase, version), false);
}

int run(const std::type_info &type, void *object) {
  void *process = upcast(type, type_ProcessBase, object), *upid = room();
  UPID(upid, process);
  process_spawn(room(), process, false);
  process_wait(upid, -1000000000L); // a negative duration: no limit
  return 0;
}
