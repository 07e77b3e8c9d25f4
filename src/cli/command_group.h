// Commands with a common first word ("lathe data …", "lathe step …"), shared by several files.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace cli {

CLI::App& command_group(CLI::App& app, const std::string& name, const std::string& help);  // made if it is not there

}  // namespace cli
