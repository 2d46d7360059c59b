"""A policy written down: ONNX, TorchScript and pt2. What is made once can be written with other metadata again."""

import contextlib
import functools
import io
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx.passes.dialect.common.cse_pass import CSEPass

from ..errors import AgentError, first_line
from ..nn.products import any_rows
from ..policyfile.metadata import ENTRY, KEY, Metadata, Port
from ..policyfile.packages import package
from ..policyfile.seal import OPEN, sealed
from .policy import PolicyModule
from .simplify import simplify
from .tables import TableModule

ToBytes = Callable[[Metadata], bytes]  # the content of a file with these metadata in it
BATCH = "batch"  # the free axis
MOST = 2**31 - 1  # bytes of a file of Protocol Buffers
SUFFIXES = {"onnx": ".onnx", "torchscript": ".ts", "pt2": ".pt2"}
NOTES = {
    "torchscript": "PyTorch calls TorchScript deprecated and advises torch.export: --to pt2, or --to onnx for use "
    "without PyTorch."
}


class NotTraced(AgentError):
    """What an agent does cannot be written down as operations on tensors."""


def traced(policy: PolicyModule | TableModule, examples: Sequence[Tensor]) -> Any:
    """The policy as `torch.export` writes it down, for batches of any size.

    Raises:
        NotTraced: it does more than operations on tensors.
    """
    batch = torch.export.Dim(BATCH)
    policy.begin(len(examples[0]))
    try:
        with quiet(), torch.no_grad(), any_rows():
            free = tuple({0: batch} for _ in examples)
            program = torch.export.export(policy, tuple(examples), dynamic_shapes=(free,))
            return torch.export.export(_concise(program), tuple(examples), dynamic_shapes=free)
    except Exception as e:  # whatever its code does with what is no real tensor
        raise NotTraced(_said(e)) from e


def _said(e: Exception) -> str:
    """What hinders it, without torch's advice to people who look into torch, and without a full stop."""
    said = first_line(e)
    if said.startswith("Constraints violated"):
        return (
            "it answers for batches of one size alone: it takes their size as a number of Python's, or remembers "
            "something that it does not say by `recall` and `remember` (docs/agents.md)"
        )
    return said.partition("For more information, run with TORCH_LOGS")[0].rstrip(" .!")


def _concise(program: Any) -> torch.fx.GraphModule:
    """The program, in which nothing is kept or computed twice: an agent is asked what it does, and what it sees."""
    module = program.run_decompositions({}).module()
    graph, known = module.graph, dict[Any, Any]()
    for node in [node for node in graph.nodes if node.op == "get_attr"]:
        tensor = functools.reduce(getattr, node.target.split("."), module)
        if isinstance(tensor, Tensor):
            same = known.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype), node)
            if same is not node:
                node.replace_all_uses_with(same)
                graph.erase_node(node)
    found = CSEPass()(module)
    concise = module if found is None else found.graph_module
    concise.graph.eliminate_dead_code()
    concise.recompile()
    return concise


def made(
    kind: str, policy: PolicyModule | TableModule, program: Any, examples: Sequence[Tensor], outputs: Sequence[Port]
) -> ToBytes:
    """The policy in a format, ready to be written with its metadata.

    Args:
        kind: "onnx", "torchscript" or "pt2".
        policy: the module.
        program: of `traced`.
        examples: its inputs, of a batch of three or more.
        outputs: what comes out.
    """
    with quiet(), torch.no_grad(), any_rows():
        if kind == "onnx":
            return _onnx(program, [port.name for port in policy.inputs], [port.name for port in outputs])
        if kind == "pt2":
            return _pt2(program)
        policy.begin(len(examples[0]))
        return _torchscript(torch.jit.trace(policy, tuple(examples), check_trace=False))


def _onnx(program: Any, inputs: Sequence[str], outputs: Sequence[str]) -> ToBytes:
    onnx = package("onnx", "onnx")
    package("onnxscript", "onnx")
    found = torch.onnx.export(program, dynamo=True, input_names=inputs, output_names=outputs, verbose=False)
    assert found is not None
    _once(found.model)
    model = found.model_proto
    _bare(model)
    model = simplify(model)

    def write(metadata: Metadata) -> bytes:
        content = sealed_model(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return content

    return write


def sealed_model(model: Any, metadata: Metadata) -> bytes:
    """An ONNX model as a file, which says this of itself, and nothing else, under a seal. Raises AgentError."""
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=metadata.model_copy(update={"seal": OPEN}).text())
    if model.ByteSize() > MOST:
        raise AgentError(f"a policy of {model.ByteSize():,} bytes is more than an ONNX file holds: --to pt2")
    return sealed(model.SerializeToString())


def _once(model: Any) -> None:
    """What is computed twice from the same, as a network is which acts and explains, is computed once, in place."""
    from onnx_ir.passes import common

    same = common.DeduplicateInitializersPass(size_limit=MOST)  # by default those of a few numbers
    for step in (same, common.CommonSubexpressionEliminationPass(), common.RemoveUnusedNodesPass()):
        step(model)


def _bare(model: Any) -> None:
    """Without what the exporter notes at every node, the paths of our code among it; the free axis gets its name."""
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer, graph):
        del part.metadata_props[:]
        part.doc_string = ""
    for value in (*graph.value_info, *graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = BATCH
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]


def _torchscript(module: Any) -> ToBytes:
    def write(metadata: Metadata) -> bytes:
        with quiet():
            return _untraced(module.save_to_buffer(_extra_files={ENTRY: metadata.text()}))

    return write


def _untraced(content: bytes) -> bytes:
    """A TorchScript file without the notes on which line of whose code each operation came from: places on this
    machine, which concern nobody elsewhere."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry))  # of no date
    return made.getvalue()


def _pt2(program: Any) -> ToBytes:
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # places on this machine, and lines of an agent's code

    def write(metadata: Metadata) -> bytes:
        buffer = io.BytesIO()
        with quiet():
            torch.export.save(program, buffer, extra_files={ENTRY: metadata.text()})
        return buffer.getvalue()

    return write


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context in which the libraries that write files down keep their advice to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:  # where a graph comes to an end, torch prints what there is of it to sys.stderr, and logs nothing
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
