"""A network in memory, or one that is loaded only if something but its stored weights is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from gaudi_asr_cli.core.models.weights import NetworkWeights, weights_of


class NetworkSource:
    """A transformers network, its configuration and its weights.

    A deferred one is loaded when it is first used. The CPU engine never uses it: it needs the
    stored weights alone, and importing transformers' networks takes longer than all the rest.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._lock = Lock()

    @property
    def network(self) -> Any:
        """Return the network."""
        return self._network

    @property
    def config(self) -> dict[str, Any]:
        """Return the configuration as a plain mapping, with the family's defaults."""
        config: dict[str, Any] = self._network.config.to_dict()
        return config

    @property
    def weights(self) -> NetworkWeights:
        """Return the weights by name."""
        return weights_of(self._network)

    @property
    def parameter_count(self) -> int:
        """Return the number of parameters."""
        return count_parameters(self._network)

    @property
    def generation_config(self) -> Any:
        """Return the generation configuration of an encoder-decoder."""
        return self._network.generation_config


class DeferredNetwork(NetworkSource):
    """A network that `load` loads on first use, of a config.json and stored weights."""

    def __init__(
        self,
        load: Callable[[], Any],
        config: Mapping[str, Any],
        weights: NetworkWeights,
        generation_config: Any = None,
    ) -> None:
        super().__init__(None)
        self._load, self._config, self._weights = load, dict(config), weights
        self._generation_config = generation_config

    @property
    def network(self) -> Any:
        """Return the network, which is loaded now if it is not yet."""
        with self._lock:
            if self._network is None:
                self._network = self._load()
                # What loading needed, and weights that are stored otherwise, may be freed.
                del self._load, self._weights
            return self._network

    @property
    def is_loaded(self) -> bool:
        """Return whether the network was used."""
        return self._network is not None

    @property
    def config(self) -> dict[str, Any]:
        """Return the content of config.json; of a loaded network, its configuration."""
        return super().config if self.is_loaded else dict(self._config)

    @property
    def weights(self) -> NetworkWeights:
        """Return the stored weights; those of the network once it is loaded."""
        return super().weights if self.is_loaded else self._weights

    @property
    def parameter_count(self) -> int:
        """Return the number of parameters."""
        return super().parameter_count if self.is_loaded else self._weights.count()

    @property
    def generation_config(self) -> Any:
        """Return the content of generation_config.json; of a loaded network, its own."""
        return super().generation_config if self.is_loaded else self._generation_config


def count_parameters(network: Any) -> int:
    """Return the number of parameters of a network in memory; shared ones count once."""
    return sum(parameter.numel() for parameter in network.parameters())
