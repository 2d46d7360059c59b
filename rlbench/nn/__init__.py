"""Networks of S seeds at once: layers, whole networks, and their parameters as one tensor.

Part of the kit: agents build their networks of what is listed here.
"""

from .action_value import ActionValue as ActionValue
from .by_autograd import vjp as vjp
from .flat import Flat as Flat
from .layers import Conv2d as Conv2d
from .layers import Flatten as Flatten
from .layers import Layer as Layer
from .layers import LayerNorm as LayerNorm
from .layers import Linear as Linear
from .layers import OneHot as OneHot
from .layers import Pixels as Pixels
from .layers import ReLU as ReLU
from .layers import SiLU as SiLU
from .layers import Tanh as Tanh
from .moments import RewardScale as RewardScale
from .moments import RunningMoments as RunningMoments
from .networks import Activation as Activation
from .networks import Network as Network
from .networks import cnn as cnn
from .networks import mlp as mlp
from .networks import network as network
from .networks import side_by_side as side_by_side
from .networks import trunk as trunk
from .orthogonal import orthogonal_ as orthogonal_
from .products import affine as affine
from .products import product as product
from .recurrent import GRUCell as GRUCell
from .recurrent import Remembering as Remembering
