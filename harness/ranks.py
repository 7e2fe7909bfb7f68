"""How stable a ranking is: how often each arm keeps most, when items and trainings are drawn again."""

import numpy as np

from harness import bootstrap
from harness.claims import primary
from harness.forgetting import Study


def keeps_most(study: Study) -> dict[str, float]:
    """Arm -> share of draws of seeds and clusters of items in which it forgets least; empty where nothing can be ranked.

    The same draws for every arm, over seeds that all were finished under; with one seed of items alone.
    """
    keep, arms = primary(study), (study.control, *study.competitors)
    if keep is None or len(arms) < 2 or arms[0] not in study.arms:
        return {}
    seeds = sorted(set.intersection(*(set(study.seeds(arm, keep)) for arm in arms)))
    if not seeds:
        return {}
    tables = []
    for sample in study.tasks(keep):
        after = np.stack([sample.stack(arm, seeds) for arm in arms], axis=-1)  # (S, n, arms)
        changes = keep.sign * (after - sample.before[:, None])
        weights = np.broadcast_to(sample.weights[:, None], (*changes.shape[:2], 1))
        rows = np.concatenate([changes, weights], axis=-1)
        tables.append(np.stack([bootstrap.by_cluster(each, sample.clusters) for each in rows]))
    drawn = [found[:, :-1] / found[:, -1:] for found in bootstrap.totals(tables)]  # (draws, arms), a task each
    least = np.mean(drawn, axis=0).argmin(axis=1)
    return {arm: float(np.mean(least == place)) for place, arm in enumerate(arms)}
