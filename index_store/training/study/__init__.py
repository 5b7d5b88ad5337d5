"""Compare encoders and regressors."""
