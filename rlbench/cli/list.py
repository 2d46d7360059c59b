"""`rlbench list`: what there is to choose from."""

import click

from ..numbers import exact
from . import options


@click.command("list")
@click.argument("what", type=click.Choice(["agents", "recipes", "envs", "keys", "operations"]))
@click.option(
    "--agent",
    metavar="NAME",
    type=options.Word(),
    default="dqn",
    show_default=True,
    help="For `keys`: whose hyper-parameters.",
)
@click.option("--env", metavar="ID", type=options.Word(), help="For `keys`: where they are as is usual there.")
@options.imports
def list_(what: str, agent: str, env: str | None, imports: tuple[str, ...]) -> None:
    """List agents, recipes, environments, the keys that a recipe may hold, or operations of torch for agents.

    Of operations, it is tried on this machine whether a seed's numbers have the same bits alone and among others.

    \b
    rlbench list envs
    rlbench list keys --agent dqn
    rlbench list operations
    """
    match what:
        case "agents":
            _agents()
        case "recipes":
            _recipes()
        case "envs":
            _envs(imports)
        case "keys":
            _keys(agent, env, imports)
        case "operations":
            _operations()


def _agents() -> None:
    from rlbench.recipe.registry import agent_names

    for name, where in sorted(agent_names().items()):
        click.echo(f"{name:12} {where}")


def _recipes() -> None:
    from rlbench.recipe import Recipe, recipe_names

    for agent, names in recipe_names().items():
        for name in names:
            env = "any environment" if name == "default" else Recipe.load(name, agent=agent).env
            click.echo(f"{agent + '/' + name:28} {env}")


def _envs(imports: tuple[str, ...]) -> None:
    import gymnasium

    import rlbench.envs  # noqa: F401  (registers rlbench/...)
    from rlbench.border.make import import_modules

    classes = import_modules(imports)
    for name, spec in sorted({**gymnasium.registry, **classes}.items()):
        steps = f"up to {spec.max_episode_steps:,} steps" if spec.max_episode_steps else ""
        solved = f"solved at {exact(spec.reward_threshold)}" if spec.reward_threshold is not None else ""
        click.echo(f"{name:34} {steps:22} {solved}".rstrip())


def _keys(agent: str, env: str | None, imports: tuple[str, ...]) -> None:
    import rlbench.envs  # noqa: F401  (registers rlbench/...)
    from rlbench.border.make import check_registered, import_modules, newest_version
    from rlbench.recipe import Recipe
    from rlbench.recipe.registry import find_agent
    from rlbench.recipe.usual import usual

    entry = find_agent(agent)
    env = newest_version(env or "")
    if env and ":" not in env and env not in import_modules(imports):
        check_registered(env)
    own = {**usual(env, entry, Recipe), "agent": entry.name}
    for prefix, model in (("", Recipe), (f"{entry.name}.", entry.cls.Config)):
        for name, field in model.model_fields.items():
            if name == "hyper":
                continue
            value = own.get(name, field.get_default()) if not prefix else field.get_default()
            default = "" if field.is_required() else f"[{_shown(value)}]"
            click.echo(f"{prefix + name:28} {default:14} {field.description or ''}".rstrip())


def _operations() -> None:
    import torch

    from rlbench.nn.operations import OPERATIONS
    from rlbench.nn.strays import shapes, strays

    torch.set_num_threads(1)  # with several, nothing is promised
    tried = shapes()
    click.echo(
        f"torch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()}, one seed alone and among three:"
    )
    click.echo(f"for how many of {len(tried)} shapes its last bits differ, forward and in autograd's gradient.\n")
    click.echo(f"{'':42} {'forward':>8} {'gradient':>9}  {'safe instead'}")
    for name, function, instead, substitute in OPERATIONS:
        forward, gradient, _ = strays(function, tried)
        if substitute is not None and any(strays(substitute, tried)[:2]):
            instead += "   (not on this machine)"
        counts = f"{len(forward) or 'kept':>8} {len(gradient) or 'kept':>9}"
        click.echo(f"{name:42} {counts}  {instead}".rstrip())


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
