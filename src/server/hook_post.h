// How webhooks are posted: over net::Client, and what a courier needs of the configuration.
#pragma once

#include "hooks/courier.h"

namespace server {
hooks::Post hook_post();
}
