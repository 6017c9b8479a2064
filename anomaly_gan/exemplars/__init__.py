"""Real anomalies as examples: cut from pictures, and laid into masks of other shapes piece by piece."""
