"""Whether a file is the policy that it was made of: what both are asked, how near their answers are, what they earn."""
