// Where `lathe import` puts things: a running server, or the store of one that does not run. Both do the same acts
// (takeover/takeover.h). What cannot be done is thrown as Failure. Thread: the command's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "cli/command.h"
#include "takeover/takeover.h"

namespace server {
struct Config;
}

namespace cli {

class ImportTarget {
 public:
  virtual ~ImportTarget() = default;

  template <class In, class Out>
  base::Result<Out> try_ask(const takeover::Act<In, Out>& act, const In& question) {
    TRY_SET(const std::string answer, do_act(act.name, act.pack(question)));
    return act.unpack(answer);
  }
  template <class In, class Out>
  Out ask(const takeover::Act<In, Out>& act, const In& question) {
    return need(try_ask(act, question));
  }

  // A file of an artifact root; it is there after the next flush(). Answers its size.
  virtual int64_t add_file(base::Fd file, const std::string& root, const std::string& path) = 0;
  virtual void flush() = 0;

 private:
  virtual base::Result<std::string> do_act(std::string_view name, std::string question) = 0;
};

// A running server: as named, else the one that holds the store of this folder.
std::unique_ptr<ImportTarget> import_into_server(const Common& common);
// kConflict: a server runs on it.
base::Result<std::unique_ptr<ImportTarget>> import_into_store(const server::Config& config, const Common& common);

}  // namespace cli
