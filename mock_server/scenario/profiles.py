"""Profile files -> Profile: the built-in ones by name, a user's own by path. Mistakes are reported as a scenario's are.

A profile may say `extends: NAME or FILE` (it has everything of that one which it does not say itself, and its models
beside its own) and a model `like: ID` (the same, of one model). `models_from` names a profile where `like` looks too.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from mock_server.protocol.profile import Profile
from mock_server.scenario.decode import decode
from mock_server.scenario.load import PACKAGE, documents, read_file
from mock_server.scenario.node import Node, Problem, Problems, ScenarioError, one_of, suggestion
from mock_server.scenario.timing import read_timing

FOLDER = PACKAGE / "profiles"
# what a model has of its own even when it is like another
_OWN = ("id", "aliases", "display_name", "created", "lifecycle", "deprecated", "retires")


def built_in() -> tuple[str, ...]:
    """The names of the profiles that come with the package; the default first."""
    return tuple(sorted((file.stem for file in FOLDER.iterdir()), key=lambda name: (name != "octen", name)))


def load_profile(profile: str, catalogue: str | None = None) -> Profile:
    """The profile of this name, or in this file, with the models of one of its catalogues.

    Raises ScenarioError for everything wrong with it.
    """
    return _of_package(profile, catalogue) if profile in built_in() else _read(_file(profile), catalogue)


@lru_cache(maxsize=8)
def _of_package(name: str, catalogue: str | None) -> Profile:
    """A built-in profile: it is frozen and its file does not change, so all servers of a process have the same."""
    return _read(FOLDER / f"{name}.yaml", catalogue)


def _read(file: Path, catalogue: str | None) -> Profile:
    problems = Problems(str(file))
    node = _resolved(file, problems, ())
    node.value.pop("models_from", None)
    loaded: Profile | None = None if problems.found else decode(Profile, node, problems)
    timings = [model.value["timing"] for model in _listed(node) if "timing" in model.value]
    for timing in {id(one): one for one in timings}.values():  # models that are like one another share theirs
        read_timing(timing, problems)
    if problems.found or loaded is None:
        raise ScenarioError(problems.found)
    return _of_catalogue(loaded, catalogue, problems.source)


def _file(profile: str, beside: Path = Path()) -> Path:
    if profile in built_in():
        return FOLDER / f"{profile}.yaml"
    if not profile.endswith((".yaml", ".yml")):
        text = f"no profile '{profile}'{one_of(profile, built_in(), ' or a .yaml file')}"
        raise ScenarioError([Problem("profile", None, text)])
    return beside / profile


def _resolved(file: Path, problems: Problems, seen: tuple[Path, ...]) -> Node:
    """The mapping a profile file comes to: what it extends merged in, every `like` written out."""
    nodes = list(documents(read_file(file), problems))
    if len(nodes) != 1 or not isinstance(nodes[0].value, dict):
        problems.add(nodes[0] if nodes else None, "a profile file holds one mapping")
        return Node({})
    node = nodes[0]
    base = _base(node, "extends", file, problems, seen)
    source = _base(Node({**base.value, **node.value}), "models_from", file, problems, seen)
    own = _listed(node)
    known = {**_by_id(_listed(source)), **_by_id(_listed(base)), **_by_id(own)}
    mine = [_like(model, known, problems, ()) for model in own]
    names = set(_by_id(mine))
    kept = [model for model in _listed(base) if _id(model) not in names]
    values = {**base.value, **node.value, "models": Node([*mine, *kept], node.position)}
    values.pop("extends", None)
    if not mine and not kept:
        values.pop("models", None)
    if base.value:
        values |= {"name": node.value.get("name", Node(file.stem)), "added": Node([Node(name) for name in names])}
    return Node(values, node.position, {**base.keys, **node.keys})


def _base(node: Node, key: str, file: Path, problems: Problems, seen: tuple[Path, ...]) -> Node:
    """The profile that `extends` or `models_from` names; an empty one when there is none."""
    named = node.value.get(key)
    if named is None:
        return Node({})
    try:
        path = _file(str(named.value), file.parent)
        if path.resolve() in (file.resolve(), *seen):
            problems.add(named, f"{key}: this file extends itself")
            return Node({})
        inner = Problems(str(path))
        found = _resolved(path, inner, (*seen, file.resolve()))
        problems.found += inner.found
        return found
    except ScenarioError as error:
        problems.add(named, f"{key}: {'; '.join(problem.text for problem in error.problems)}")
        return Node({})


def _listed(node: Node) -> list[Node]:
    listed = node.get("models")
    return [model for model in listed if isinstance(model.value, dict)] if isinstance(listed, list) else []


def _id(model: Node) -> str:
    return str(model.get("id") or "")


def _by_id(models: list[Node]) -> dict[str, Node]:
    return {_id(model): model for model in models}


def _like(model: Node, known: dict[str, Node], problems: Problems, seen: tuple[str, ...]) -> Node:
    """A model with everything that its own row does not say taken from the one it is like."""
    named = model.value.get("like")
    own = model.without("like")
    if named is None:
        return own
    other = known.get(str(named.value))
    if other is None or str(named.value) in seen:
        why = "is like itself" if other is not None else f"unknown model{suggestion(str(named.value), known)}"
        problems.add(named, f"like: {named.value}: {why}")
        return own
    inherited = _like(other, known, problems, (*seen, str(named.value)))
    return Node({**inherited.without(*_OWN).value, **own.value}, model.position, model.keys)


def _of_catalogue(profile: Profile, catalogue: str | None, source: str) -> Profile:
    """The profile with the models of a catalogue, in its order; those a file added itself are always offered."""
    wanted = catalogue or profile.catalogue
    if wanted is None:
        return profile
    if wanted not in profile.catalogues:
        known = ", ".join(profile.catalogues) or "none"
        text = f"no catalogue '{wanted}' in profile {profile.name}; it has {known}"
        raise ScenarioError([Problem(source, None, text + suggestion(wanted, profile.catalogues))])
    by_id = {model.id: model for model in profile.models}
    ids = [*profile.catalogues[wanted], *(id for id in profile.added if id not in profile.catalogues[wanted])]
    return replace(profile, models=tuple(by_id[id] for id in ids if id in by_id), catalogue=wanted)
