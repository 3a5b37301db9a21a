"""Chapter 13: Top-k Transformers, their quality, robustness and calibration."""
