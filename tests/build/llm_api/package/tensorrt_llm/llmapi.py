from tensorrt_llm import Arguments
from tests.build.llm_api import upstream


class KvCacheConfig(Arguments):
    signature = upstream.KV_CACHE_CONFIG


class GuidedDecodingParams(Arguments):
    signature = upstream.GUIDED_DECODING_PARAMS
