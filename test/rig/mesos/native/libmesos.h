// What mesosd uses of libmesos 1.11.0, declared under its exported (mangled)
// names. The package that carries the library has no headers, so objects live in
// zeroed buffers that are larger than any of them, and the place of a virtual
// base within an object comes from the exported type information.
#pragma once

#include <cstddef>
#include <new>
#include <string>
#include <typeinfo>

// Option<T>: an int, 0 = some and 1 = none, and then the value.
struct OptString {
  int none;
  union {
    std::string value;
  };
  OptString() : none(1) {}
  OptString(const std::string &v) : none(0) { new (&value) std::string(v); }
  OptString(const OptString &o) : none(o.none) {
    if (!none) new (&value) std::string(o.value);
  }
  OptString &operator=(const OptString &) = delete;
  ~OptString() {
    if (!none) value.~basic_string();
  }
};
template <class T>
struct Opt {
  int none = 1;
  alignas(8) T value{};
};

// Try<T, Error>: an Option<T> and then an Option<Error>. Results stay for the
// whole run, so nothing is destroyed.
struct TryPtr { // Try<T *>
  int none;
  void *ptr;
  OptString error;
  ~TryPtr() {}
};
struct TryFlags { // Try<flags::Warnings>
  int none;
  void *warnings[3];
  OptString error;
  ~TryFlags() {}
};

// An empty Owned<T> or shared_ptr<T>.
struct Nothing {
  void *a = nullptr, *b = nullptr;
};

#define STRING "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
#define FUNCTION(result, name, args, symbol) extern result name args __asm__(symbol)
#define TYPE(name, symbol) extern const std::type_info name __asm__(symbol)

TYPE(type_FlagsBase, "_ZTIN5flags9FlagsBaseE");
TYPE(type_ProcessBase, "_ZTIN7process11ProcessBaseE");
TYPE(type_LocalFlags, "_ZTIN5mesos8internal5local5FlagsE");
TYPE(type_MasterFlags, "_ZTIN5mesos8internal6master5FlagsE");
TYPE(type_AgentFlags, "_ZTIN5mesos8internal5slave5FlagsE");
TYPE(type_LaunchFlags, "_ZTIN5mesos8internal5slave24MesosContainerizerLaunch5FlagsE");
TYPE(type_Version, "_ZTIN5mesos8internal14VersionProcessE");
TYPE(type_Master, "_ZTIN5mesos8internal6master6MasterE");
TYPE(type_Agent, "_ZTIN5mesos8internal5slave5SlaveE");

// Flags, logging and the actor library.
FUNCTION(void, LocalFlags, (void *), "_ZN5mesos8internal5local5FlagsC1Ev");
FUNCTION(void, MasterFlags, (void *), "_ZN5mesos8internal6master5FlagsC1Ev");
FUNCTION(void, AgentFlags, (void *), "_ZN5mesos8internal5slave5FlagsC1Ev");
FUNCTION(TryFlags, flags_load,
         (void *flags, const OptString &prefix, int argc, const char *const *argv, bool unknowns, bool duplicates),
         "_ZN5flags9FlagsBase4loadERK6OptionI" STRING "EiPKPKcbb");
FUNCTION(void, logging_initialize, (const std::string &argv0, bool handlers, const OptString &flags),
         "_ZN5mesos8internal7logging10initializeERK" STRING "bRK6OptionINS1_5FlagsEE");
FUNCTION(bool, process_initialize, (const OptString &delegate, const OptString &rw_realm, const OptString &ro_realm),
         "_ZN7process10initializeERK6OptionI" STRING "ES9_S9_");
FUNCTION(void, process_spawn, (void *result, void *process, bool manage), "_ZN7process5spawnEPNS_11ProcessBaseEb");
FUNCTION(void, UPID, (void *, const void *process), "_ZN7process4UPIDC1ERKNS_11ProcessBaseE");
FUNCTION(bool, process_wait, (const void *upid, const long &duration), "_ZN7process4waitERKNS_4UPIDERK8Duration");
FUNCTION(void, Version, (void *), "_ZN5mesos8internal14VersionProcessC1Ev");

// Parts of both master and agent.
FUNCTION(void, Files, (void *, const OptString &realm, const Opt<void *> &authorizer),
         "_ZN5mesos8internal5FilesC1ERK6OptionI" STRING "ERKS2_IPNS_10AuthorizerEE");
FUNCTION(TryPtr, detector_create, (const OptString &master, const OptString &module, const Opt<long> &timeout),
         "_ZN5mesos6master8detector14MasterDetector6createERK6OptionI" STRING "ESC_RKS3_I8DurationE");

// Agent.
FUNCTION(void, GarbageCollector, (void *, const std::string &work_dir),
         "_ZN5mesos8internal5slave16GarbageCollectorC1ERK" STRING);
FUNCTION(void, UpdateManager, (void *, const void *flags),
         "_ZN5mesos8internal5slave23TaskStatusUpdateManagerC1ERKNS1_5FlagsE");
FUNCTION(void, Fetcher, (void *, const void *flags), "_ZN5mesos8internal5slave7FetcherC1ERKNS1_5FlagsE");
FUNCTION(TryPtr, estimator_create, (const OptString &),
         "_ZN5mesos5slave17ResourceEstimator6createERK6OptionI" STRING "E");
FUNCTION(TryPtr, qos_create, (const OptString &), "_ZN5mesos5slave13QoSController6createERK6OptionI" STRING "E");
FUNCTION(TryPtr, secrets_create, (const OptString &), "_ZN5mesos14SecretResolver6createERK6OptionI" STRING "E");
FUNCTION(TryPtr, containerizer_create,
         (const void *flags, bool local, void *fetcher, void *gc, void *secrets, void *gids, void *futures, void *csi),
         "_ZN5mesos8internal5slave13Containerizer6createERKNS1_5FlagsEbPNS1_7FetcherEPNS1_16GarbageCollectorE"
         "PNS_14SecretResolverEPNS1_16VolumeGidManagerEPNS0_20PendingFutureTrackerEPNS1_9CSIServerE");
FUNCTION(void, Agent,
         (void *, const std::string &id, const void *flags, void *detector, void *containerizer, void *files, void *gc,
          void *updates, void *estimator, void *qos, void *secret_generator, void *gids, void *futures, Nothing *csi,
          const Opt<Nothing> &executor_socket, const Opt<void *> &authorizer),
         "_ZN5mesos8internal5slave5SlaveC1ERK" STRING "RKNS1_5FlagsEPNS_6master8detector14MasterDetectorE"
         "PNS1_13ContainerizerEPNS0_5FilesEPNS1_16GarbageCollectorEPNS1_23TaskStatusUpdateManagerE"
         "PNS_5slave17ResourceEstimatorEPNSQ_13QoSControllerEPNS_15SecretGeneratorEPNS1_16VolumeGidManagerE"
         "PNS0_20PendingFutureTrackerEON7process5OwnedINS1_9CSIServerEEERK6OptionINS11_7network8internal6Socket"
         "INS17_4unix7AddressEEEERKS16_IPNS_10AuthorizerEE");

// Master. Without ZooKeeper, local::launch builds it, with no agents.
FUNCTION(void, local_launch, (void *result, const void *flags, void *allocator),
         "_ZN5mesos8internal5local6launchERKNS1_5FlagsEPNS_9allocator9AllocatorE");
FUNCTION(void, Allocator, (void *),
         "_ZN5mesos8internal6master9allocator14MesosAllocatorINS2_"
         "28HierarchicalAllocatorProcessINS2_9DRFSorterES5_EEEC1Ev");
FUNCTION(void, Log,
         (void *, int quorum, const std::string &path, const std::string &servers, const long &timeout,
          const std::string &znode, const OptString &auth, bool auto_initialize, const OptString &metrics_prefix),
         "_ZN5mesos3log3LogC1EiRK" STRING "S9_RK8DurationS9_RK6OptionIN9zookeeper14AuthenticationEEbRKSD_IS7_E");
FUNCTION(void, LogStorage, (void *, void *log, unsigned long snapshot_diff),
         "_ZN5mesos5state10LogStorageC1EPNS_3log3LogEm");
extern void *vtable_State[] __asm__("_ZTVN5mesos5state8protobuf5StateE");
FUNCTION(void, Registrar, (void *, const void *flags, void *state, const OptString &realm),
         "_ZN5mesos8internal6master9RegistrarC1ERKNS1_5FlagsEPNS_5state5StateERK6OptionI" STRING "E");
FUNCTION(TryPtr, contender_create, (const OptString &zk, const OptString &module, const Opt<long> &timeout),
         "_ZN5mesos6master9contender15MasterContender6createERK6OptionI" STRING "ESC_RKS3_I8DurationE");
FUNCTION(void, Master,
         (void *, void *allocator, void *registrar, void *files, void *contender, void *detector,
          const Opt<void *> &authorizer, const Opt<Nothing> &limiter, const void *flags),
         "_ZN5mesos8internal6master6MasterC1EPNS_9allocator9AllocatorEPNS1_9RegistrarEPNS0_5FilesE"
         "PNS_6master9contender15MasterContenderEPNSA_8detector14MasterDetectorERK6OptionIPNS_10AuthorizerEE"
         "RKSH_ISt10shared_ptrIN7process11RateLimiterEEERKNS1_5FlagsE");

// The helper that the agent runs in each container.
FUNCTION(void, LaunchFlags, (void *), "_ZN5mesos8internal5slave24MesosContainerizerLaunch5FlagsC1Ev");
FUNCTION(void *, launch_flags, (void *), "_ZN5mesos8internal5slave24MesosContainerizerLaunch8getFlagsEv");
FUNCTION(int, launch_execute, (void *), "_ZN5mesos8internal5slave24MesosContainerizerLaunch7executeEv");
extern void *vtable_Launch[] __asm__("_ZTVN5mesos8internal5slave24MesosContainerizerLaunchE");
