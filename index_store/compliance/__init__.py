"""What must not be shown: the policy, the rule for texts, the rule for photos."""
