// How a downloaded artifact is announced: its media type by the name's ending, and its name in a header.
#pragma once

#include <string>
#include <string_view>

namespace api::mlflow {

std::string_view media_type(std::string_view file_name);    // text/plain for what MLflow shows as text
bool runs_scripts(std::string_view type);                   // shown by a browser as a page that may hold scripts
std::string attachment_header(std::string_view file_name);  // Content-Disposition

}  // namespace api::mlflow
