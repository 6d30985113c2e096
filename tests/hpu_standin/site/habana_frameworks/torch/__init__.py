import os

os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
import habana_frameworks.autoload

habana_frameworks.autoload.is_loaded = True

from hpu_standin import install, recorder


recorder.add(
    "import",
    env={
        k: v
        for k, v in os.environ.items()
        if k.startswith(("PT_HPU", "PT_ENABLE", "HABANA", "HLS_", "ENABLE_"))
    },
)
install()
is_torch_fork = True

import habana_frameworks.torch.hpu
import habana_frameworks.torch.core
import habana_frameworks.torch.distributed.hccl

if "HABANA_PROFILE" not in os.environ:
    os.environ["HABANA_PROFILE"] = "profile_api_light"
