"""One file per family of lifecycle graphs. Each holds one FAMILY and is found by its presence."""
