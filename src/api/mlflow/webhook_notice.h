// The registry's events as MLflow's webhooks tell them, and Lathe's own beside them. See hooks/courier.h.
#pragma once

#include "hooks/courier.h"

namespace api::mlflow {

hooks::Translator webhook_translator();
std::string example_data(std::string_view event);  // what a test sends: JSON

}  // namespace api::mlflow
