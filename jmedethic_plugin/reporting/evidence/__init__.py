"""The evidence pack: what a hospital's ethics committee or a regulator asks for, as one folder (method.md E-30)."""
