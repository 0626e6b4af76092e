"""The torch core: any transformers causal language model, served to many callers at once in this process."""

from aios_kernel.cores.torch.core import TorchCore

__all__ = ["TorchCore"]
