// Repository: serve::Routes fed from folders instead of the store. A model is read, tried in a child process, loaded,
// warmed and held against its own example, then swapped in; whatever fails leaves what was served before. Modes as
// Triton's: none (all models at start), poll (a folder that changes is loaded anew), explicit (on request).
//
// With a memory budget models are loaded at their first request, once however many ask, and the least recently used one
// goes when the budget is full; models of an ensemble's steps stay.
//
// Thread: routes as in serve/routes.h; everything else blocks and may be called from many threads: one name is worked
// at by one thread at a time, others meanwhile.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "repository/control.h"
#include "serve/routes.h"

namespace repository {

enum class Mode : uint8_t { kNone, kPoll, kExplicit };

class Repository : public serve::Routes, public ModelControl {
 public:
  struct Options {
    std::vector<base::Path> roots;                           // folders of models
    std::vector<std::pair<std::string, base::Path>> models;  // single ones, by name
    Mode mode = Mode::kNone;
    std::vector<std::string> load_at_start;  // kExplicit; "*": all
    int64_t poll_us = 15'000'000;
    bool strict_readiness = true;          // ready: every model is
    bool exit_on_error = true;             // a model that fails at start is an error of start()
    uint64_t memory_budget = 0;            // bytes of models' files; 0: all are loaded at once
    std::string default_model;             // what the single-model routes ask, where there are several models
    base::Path added_below;                // where add() takes folders from; "": it does not
    base::Path self;                       // this binary, for trial children; "": no trials
    uint64_t cache_bytes = 0;              // of answers kept for models with response_cache; 0: none are
    std::vector<base::Path> python_roots;  // environments that models may name (serve/python_environments.h)
    base::Path python_build;               // where they are built from models' requirements.txt; "": they are not
  };
  static base::Result<std::unique_ptr<Repository>> open(const Options& options, base::Registry& metrics);
};

}  // namespace repository
