#include "triton_error.h"

bool succeeded(TRITONSERVER_Error *error) {
    if (error == NULL) return true;
    TRITONSERVER_Error *unlogged =
        TRITONSERVER_LogMessage(TRITONSERVER_LOG_ERROR, __FILE__, __LINE__, TRITONSERVER_ErrorMessage(error));
    if (unlogged != NULL) TRITONSERVER_ErrorDelete(unlogged);
    TRITONSERVER_ErrorDelete(error);
    return false;
}
