"""Cells as jobs of a Slurm cluster: `engine` is the driver's side, `queue` asks Slurm, `job` is what runs on a node.

Entered by `driving.engines` alone, and by the jobs. `arrays` holds on disk what was handed in; submitit is imported
where it is used.
"""
