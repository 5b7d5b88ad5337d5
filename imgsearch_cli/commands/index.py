"""`imgsearch index PATH...`: bring the store in line with the photos on the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from imgsearch_cli import exits
from imgsearch_cli.options import encoder_option, policy_option, store_option, wait_option


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@store_option
@encoder_option
@policy_option
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Pass over what matches, in gitignore's syntax, from PATH on; !GLOB takes in again; repeatable.",
)
@click.option("--hidden", is_flag=True, help="Also look into files and folders whose names begin with a dot.")
@click.option("--follow-symlinks", is_flag=True, help="Also look into folders that are links; each is entered once.")
@click.option("--keep-raw", is_flag=True, help="Also take camera RAW files with a JPEG of the same name and moment.")
@click.option(
    "--root-name", metavar="NAME", default="", help="Know PATH by a name, where another machine has it at another path."
)
@click.option("--prune-empty", is_flag=True, help="Forget the photos of a folder that holds none any more.")
@click.option("--rehash", is_flag=True, help="Read every file again, also those that kept their size and time.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    help="Photos decoded side by side; with --ray the most actors.  [default: one for each core]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where photos are encoded; auto takes a GPU that can be used.  [default: auto]",
)
@click.option("--ray", is_flag=True, help="Embed with actors on Ray, which write to the Chroma server of --store.")
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="The head of a Ray cluster, or auto for the one on this machine.  [default: a local Ray for this run]",
)
@click.option("--watch", is_flag=True, help="Go on: index again when something changes, until Ctrl-C.")
@click.option("--strict", is_flag=True, help="Exit with 2 where a photo had to be skipped.")
@wait_option
@click.pass_context
def index(
    context: click.Context,
    paths: tuple[str, ...],
    store: str | None,
    encoder: str | None,
    policy_file: Path | None,
    dry_run: bool,
    exclude: tuple[str, ...],
    hidden: bool,
    follow_symlinks: bool,
    keep_raw: bool,
    root_name: str,
    prune_empty: bool,
    rehash: bool,
    jobs: int | None,
    device: str | None,
    ray: bool,
    ray_address: str | None,
    watch: bool,
    strict: bool,
    wait: bool,
) -> None:
    """Index the photos below PATH..., or refresh all that was indexed before.

    Only new and changed photos are embedded; moved ones are recognised by their content, and those that are gone are
    forgotten. A run that is interrupted is completed by the next one. A file .imgsearchignore in a folder says, in
    gitignore's syntax, what is passed over there; a refresh looks in each folder as it was indexed last. A folder
    inside one that is indexed has its options, unless it is named with others; these then stay with it.

    \b
    imgsearch index ./test_images
    imgsearch index ~/Pictures /mnt/archive --exclude 'trash/' --store ~/photos.store
    imgsearch index
    imgsearch index --watch
    imgsearch index s3://bucket/photos --store http://db:8000 --ray --ray-address head:6379
    """
    from index_store.machine import one_blas_thread

    one_blas_thread()
    from imgsearch_cli.progress import progress_bar
    from imgsearch_cli.render_store import (
        render_index_report,
        render_notes,
        render_plan,
        render_skipped,
        render_warnings,
    )
    from index_store.indexing.cluster import RayOptions
    from index_store.indexing.run import IndexOptions
    from index_store.library import Library
    from index_store.photos.places import Place
    from index_store.records import FindOptions

    library = Library(store, encoder, policy_file, wait, device=device)
    find = FindOptions(exclude, hidden, follow_symlinks, keep_raw)
    if not paths and find != FindOptions():
        raise click.UsageError("--exclude, --hidden, --follow-symlinks and --keep-raw belong to a PATH; name it")
    if root_name and (len(paths) != 1 or "/" in root_name or "@" in root_name):
        raise click.UsageError("--root-name names one PATH, by a word without / and @")
    places = [Place(path, find, root_name) for path in paths]
    if ray_address is not None and not ray:
        raise click.UsageError("--ray-address says where --ray works; name both")
    if ray and watch:
        raise click.UsageError("--ray is for one large run, and --watch for many small ones; leave one of the two out")
    options = IndexOptions(jobs, prune_empty, rehash, ray=RayOptions(ray_address) if ray else None)
    if dry_run:
        render_plan(*library.plan(places, options))
        return
    quiet = bool(context.obj["quiet"])
    if watch:
        if strict:
            raise click.UsageError(
                "--strict is about how a run ends, and --watch does not end; leave one of the two out"
            )
        from imgsearch_cli.watching import watch_places

        watch_places(replace(library, wait=True), places, options, quiet=quiet)
    with progress_bar("indexing", "photos", quiet=quiet) as advance:
        report = library.index(places, options, advance)
    if report.removed or report.changed:
        library.give_space_back()
    render_skipped(report.skipped)
    render_notes(report.notes)
    render_warnings(report.passed_over)
    if not quiet:
        render_index_report(report)
    if strict and (report.skipped or report.passed_over.raw):
        context.exit(exits.ERROR)
