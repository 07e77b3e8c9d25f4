// The flags of `lathe serve --control URL`: a data plane apart from its control plane.
#pragma once

#include <string>

#include "cli/command.h"
#include "server/serve_plane.h"

namespace cli {

struct PlaneFlags {  // as given; "": not at all
  std::string control, token, token_file, dir, name, client_cert, client_key, cache, spool, grace, require_login;
};
void add_plane_flags(CLI::App& serve, PlaneFlags& flags);
void understand(const PlaneFlags& flags, const Common& common, server::PlaneOptions& out);  // Failure: kUsage

}  // namespace cli
