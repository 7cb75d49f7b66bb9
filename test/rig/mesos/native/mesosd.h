// What the modes of mesosd share.
#pragma once

#include "libmesos.h"

// A buffer for an object of libmesos, larger than any of them and never freed:
// the objects live as long as the program.
void *room();

// Moves a pointer to an object of one type to its base of another type.
void *upcast(const std::type_info &from, const std::type_info &to, void *object);

[[noreturn]] void die(const char *what, const std::string &why);

// The pointer of a result, or the end of the program with the result's error.
void *must(const char *what, const TryPtr &result);

// Fills flags of a type from MESOS_* variables and the command line.
void load(const std::type_info &type, void *flags, int argc, char **argv, bool allow_unknown);

// One flag of the command line, or its MESOS_* variable. Flag objects have no
// known layout, so what mesosd itself needs is read beside them.
OptString option(const char *name, int argc, char **argv);

void make_directories(const std::string &path);

// Starts logging, libprocess on --ip and --port, and the /version endpoint.
void start(const char *delegate, const std::string &component, int argc, char **argv);

// Runs an actor of libprocess until it ends.
int run(const std::type_info &type, void *object);

int agent(int argc, char **argv);
int master(int argc, char **argv);
int containerizer(int argc, char **argv);
