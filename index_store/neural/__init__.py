"""All that needs torch: base towers, the dual encoder's training and export, other encoders, one of the regressors."""
