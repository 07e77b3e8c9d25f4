// Notebook servers as children that the warden holds.
#pragma once

#include <memory>

#include "base/fs.h"
#include "lab/keeper.h"

namespace server {
std::unique_ptr<lab::Children> lab_children(base::Path dir);
lab::Ask lab_ask();  // over the notebook server's socket
}  // namespace server
