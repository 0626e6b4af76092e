"""The torch cores: any transformers model, causal or of sentence embeddings, served to many callers at once in this process."""

from aios_kernel.cores.torch.core import TorchCore
from aios_kernel.cores.torch.encoder import EncoderCore

__all__ = ["EncoderCore", "TorchCore"]
