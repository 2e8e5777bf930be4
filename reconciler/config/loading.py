"""Find ``config.json``, read it, and refuse it in one line for each wrong key."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import JsonValue, ValidationError

from reconciler.config.allowed import Fragment
from reconciler.config.complaints import complaints
from reconciler.config.kinds import Credential, Section
from reconciler.config.model import Config
from reconciler.config.secret_files import credentials_directory
from reconciler.errors import ConfigError

SectionT = TypeVar("SectionT", bound=Section)


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """Return the configuration from `path`, else from ``$BWVISU_CONFIG``, else from the first of its usual places.

    Relative paths inside are resolved against the file's folder; a systemd credential replaces the path it stands for.

    Raises:
        ConfigError: nothing there, not readable, not JSON, or wrong; one line for each wrong key.
    """
    source, text = _read(path, environment)
    config = _checked(source, text)
    credentials = credentials_directory(environment)

    def resolve(value: Path, credential: Credential | None) -> Path:
        if credential and credentials and (credentials / credential.name).is_file():
            return credentials / credential.name
        return source.absolute().parent / value

    return _with_paths(config, resolve)


def places(environment: Mapping[str, str]) -> list[Path]:
    """Return where the file is looked for, in this order, when nobody names it."""
    install = Path(environment.get("INSTALL_DIR") or Path(__file__).parents[2])
    return [
        install / "config.json",
        install / ".." / "etc" / "config.json",
        Path("/etc/runner/config.json"),
        Path("/opt/runner/etc/config.json"),
    ]


def _read(path: Path | None, environment: Mapping[str, str]) -> tuple[Path, str]:
    named = path or environment.get("BWVISU_CONFIG")
    candidates = [Path(named)] if named else places(environment)
    for candidate in candidates:
        try:
            return candidate, candidate.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"{candidate}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{candidate}: found a byte that is not UTF-8 at {error.start}, allowed is JSON"
            ) from error
    looked = ", ".join(map(str, candidates))
    raise ConfigError(f"no configuration file, looked for {looked}; name one with --config or BWVISU_CONFIG")


def _checked(source: Path, text: str) -> Config:
    try:
        json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
        return Config.model_validate_json(text, strict=True)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except ValidationError as error:
        lines = complaints(error, Fragment(Config.model_json_schema()))
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from error
    except _NotPlainJson as error:
        raise ConfigError(f"{source}: {error}") from error


class _NotPlainJson(Exception):
    """Something Python's parser lets pass and JSON does not, or that hides what was meant."""


def _no_key_twice(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    keys = [key for key, _ in pairs]
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise _NotPlainJson(f"{key}: found twice in one object, allowed once")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise _NotPlainJson(f"found {name}, allowed are JSON's own numbers")


def _with_paths(section: SectionT, resolve: Callable[[Path, Credential | None], Path]) -> SectionT:
    """Return `section` with each path in it resolved, those in the sections inside it too."""
    resolved: dict[str, Section | Path] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            resolved[name] = _with_paths(value, resolve)
        elif isinstance(value, Path):
            marks = [mark for mark in field.metadata if isinstance(mark, Credential)]
            resolved[name] = resolve(value, marks[0] if marks else None)
    return section.model_copy(update=resolved)
