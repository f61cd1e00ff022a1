from tensorrt_llm import Arguments
from tests.build.llm_api import upstream


class LoraConfig(Arguments):
    signature = upstream.LORA_CONFIG
