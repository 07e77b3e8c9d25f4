// The models of tests/models/make_models.py, made once per build folder. Test code only.
#pragma once

#include "base/fs.h"

namespace serve {

base::Path test_models();  // the folder that holds them; ends the test process if they cannot be made

}  // namespace serve
